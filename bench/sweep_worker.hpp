// SPDX-License-Identifier: Apache-2.0
// The process on the other side of bench/sweep: in a network namespace of its own where the machine allows it, behind a
// link that the kernel can shape.
#pragma once

#include <sys/types.h>

#include <string>

namespace splitnet::bench {

/// A child process that runs this program with `--worker ADDRESS`. Ends with its destructor.
class WorkerProcess {
 public:
  /// Before the first thread of this program: moves it into a network namespace of its own.
  WorkerProcess();
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// Endpoint of the worker whose passes use so many threads (1 or 2).
  [[nodiscard]] const std::string& endpoint(int threads) const { return endpoints_[threads - 1]; }
  /// Why there is no link that the kernel shapes; empty: there is one.
  [[nodiscard]] const std::string& why_not_shaped() const { return why_not_shaped_; }
  /// Puts the kernel's token bucket filter in front of both ends, or takes it away (0).
  void shape(double bit_per_s) const;

 private:
  void enter_namespace();
  void start();

  std::string why_not_shaped_;
  std::string endpoints_[2];
  pid_t child_ = 0;
  int stdin_ = -1;
  int stdout_ = -1;
};

}  // namespace splitnet::bench
