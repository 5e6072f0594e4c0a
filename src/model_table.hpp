// SPDX-License-Identifier: Apache-2.0
// The models of a worker and their versions. Private to the worker.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "splitnet/message.hpp"
#include "splitnet/model.hpp"
#include "worker_job.hpp"

namespace splitnet::detail {

/// Thread-safe.
class ModelTable {
 public:
  struct Found {
    std::string name;
    std::shared_ptr<ServedModel> served;
  };
  /// `grace`: how long a version that was replaced is still found, since somebody last asked for it.
  explicit ModelTable(std::chrono::nanoseconds grace) : grace_(grace) {}

  /// Throws as Worker::add_model and Worker::replace_model.
  void add(std::string name, std::shared_ptr<const Model> model);
  bool replace(const std::string& name, std::shared_ptr<const Model> model);
  [[nodiscard]] std::vector<std::string> names() const;

  /// A name is looked up and nothing else is ever done with it. Throws invalid_argument (an unknown name), incompatible
  /// (another fingerprint).
  [[nodiscard]] Found find(const StageRequest& asked);
  /// Versions that are not found any more, and that no request has any more, each once: what was kept for them can go.
  [[nodiscard]] std::vector<std::shared_ptr<ServedModel>> take_forgotten();

 private:
  struct Retired {
    Found version;
    std::chrono::steady_clock::time_point last_asked;
  };
  // Under the lock.
  [[nodiscard]] std::vector<std::string> names_now() const;
  void forget_old_ones();

  const std::chrono::nanoseconds grace_;
  mutable std::mutex mutex_;  // Guards everything below.
  std::map<std::string, std::shared_ptr<ServedModel>> models_;
  std::vector<Retired> retired_;
  std::vector<std::shared_ptr<ServedModel>> forgotten_;  // So that none ends under the lock.
};

}  // namespace splitnet::detail
