// SPDX-License-Identifier: Apache-2.0
// Counts what a worker does with requests, model by model. Private.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>

#include "splitnet/message.hpp"
#include "splitnet/worker.hpp"

namespace splitnet::detail {

/// Thread-safe, with a lock of its own that is held for next to nothing.
class WorkerCounters {
 public:
  /// Names come from the worker's table of models, or are empty: never from a request.
  void waited(const std::string& model, double queue_s);
  void answered(const std::string& model, std::size_t request_bytes, const Message& reply);
  void failed(const std::string& model, std::size_t request_bytes, ErrorCode code);
  /// Fills in what it counts.
  void write_to(WorkerStats& stats) const;

 private:
  mutable std::mutex mutex_;
  WorkerStats stats_;
};

}  // namespace splitnet::detail
