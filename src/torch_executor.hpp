// SPDX-License-Identifier: Apache-2.0
// Threads of ours that run stages with a thread count of their own.
#pragma once

#include <functional>
#include <memory>

namespace splitnet::detail {

/// Hands passes to threads whose intra-operator thread count is fixed. The host program's setting, and that
/// of threads it starts later, stay as they are. Grows by one thread for each pass that runs at the same
/// time as others. Thread-safe.
class TorchExecutor {
 public:
  /// The executor of this process for `threads` ≥ 1; all stages with that count share it.
  static std::shared_ptr<TorchExecutor> with_threads(int threads);
  ~TorchExecutor();
  TorchExecutor(const TorchExecutor&) = delete;
  TorchExecutor& operator=(const TorchExecutor&) = delete;

  /// Runs `work` on one of the threads and waits for it; what it throws is thrown here.
  void run(const std::function<void()>& work);

 private:
  explicit TorchExecutor(int threads);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace splitnet::detail
