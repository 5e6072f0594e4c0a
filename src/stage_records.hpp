// SPDX-License-Identifier: Apache-2.0
// What a worker has learned about the stages of a model. Private.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>

#include "splitnet/model.hpp"
#include "time_estimate.hpp"

namespace splitnet::detail {

/// Whether requests for a stage may be run together.
enum class Batchable : unsigned char { unknown, being_checked, yes, no };

/// By stage. Keys come from outside, so what is kept is bounded; what was forgotten is learned anew. Thread-safe.
class StageRecords {
 public:
  /// Seconds of one request, pass and decoding.
  [[nodiscard]] TimeEstimate time_of(const StageKey& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(key);
    return found == records_.end() ? TimeEstimate() : found->second.time;
  }
  void note_time(const StageKey& key, double seconds) {
    const std::lock_guard lock(mutex_);
    record_of(key).time.note(seconds);
  }

  /// The answer `unknown` is given once: who gets it checks, and says what came out. Meanwhile it is being checked.
  Batchable begin_check(const StageKey& key) {
    const std::lock_guard lock(mutex_);
    Batchable& batchable = record_of(key).batchable;
    if (batchable != Batchable::unknown) return batchable;
    batchable = Batchable::being_checked;
    return Batchable::unknown;
  }
  void note_batchable(const StageKey& key, Batchable batchable) {
    const std::lock_guard lock(mutex_);
    record_of(key).batchable = batchable;
  }

 private:
  struct Record {
    TimeEstimate time;
    Batchable batchable = Batchable::unknown;
  };
  static constexpr std::size_t most = 256;

  Record& record_of(const StageKey& key) {
    if (records_.size() >= most && !records_.contains(key)) records_.clear();
    return records_[key];
  }

  mutable std::mutex mutex_;
  std::map<StageKey, Record> records_;
};

}  // namespace splitnet::detail
