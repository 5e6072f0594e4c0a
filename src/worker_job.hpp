// SPDX-License-Identifier: Apache-2.0
// A request that a worker has taken in. Private to the worker.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "splitnet/device_profile.hpp"
#include "splitnet/error.hpp"
#include "splitnet/message.hpp"
#include "splitnet/model.hpp"
#include "splitnet/transport.hpp"
#include "stage_records.hpp"

namespace splitnet::detail {

/// One version of a model with what is known about it.
struct ServedModel {
  std::shared_ptr<const Model> model;
  StageRecords stages;
  std::mutex profiling;  ///< Held while something is measured; guards what follows.
  std::optional<DeviceProfile> profile;
  std::map<std::string, CodecSpeed> codec_speeds;
};

class WorkQueue;

/// A share of the worker's budget, until the job it belongs to is answered and gone.
class Place {
 public:
  Place() = default;
  Place(WorkQueue& queue, std::size_t bytes) : queue_(&queue), bytes_(bytes) {}
  Place(Place&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)), bytes_(other.bytes_) {}
  Place& operator=(Place&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Place();
  /// The bytes are somebody else's already.
  void give_up_bytes() noexcept { bytes_ = 0; }

 private:
  WorkQueue* queue_ = nullptr;
  std::size_t bytes_ = 0;
};

struct Job {
  Place place;  ///< First, so that it goes last.
  Message request;
  CallContext context;
  Responder respond;
  std::string client;  ///< Whom it is counted as: see client_of.
  std::string model_name;
  std::shared_ptr<ServedModel> served;  ///< None for a probe.
  std::size_t bytes = 0;                ///< Of tensors.
  double expected_s = 0;                ///< What it will take once it runs, if that is known.
  std::chrono::steady_clock::time_point received_at = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point queued_at;
};
using JobPtr = std::shared_ptr<Job>;

/// Why nobody waits for this answer any more, if so.
inline std::optional<ErrorCode> expired(const CallContext& context) {
  if (context.stop.stop_requested()) return ErrorCode::cancelled;
  if (context.deadline && *context.deadline <= std::chrono::steady_clock::now()) return ErrorCode::deadline_exceeded;
  return std::nullopt;
}

/// For what `expired` gives.
inline Error expiry_error(ErrorCode code) {
  return Error(code, code == ErrorCode::cancelled ? "the caller cancelled or went away"
                                                  : "the deadline passed before the worker could start");
}

}  // namespace splitnet::detail
