// SPDX-License-Identifier: Apache-2.0
// Who computes on the device. Private.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace splitnet::detail {

/// One pass at a time; what finishes an inference goes before what begins one. Thread-safe.
class DeviceTurns {
 public:
  enum class For : unsigned char { head, rest };

  /// Held while a pass runs.
  class Turn {
   public:
    Turn(DeviceTurns& turns, For what) : turns_(turns) {
      std::unique_lock lock(turns_.mutex_);
      if (what == For::rest) {
        ++turns_.rests_waiting_;
        turns_.changed_.wait(lock, [&] { return !turns_.taken_; });
        --turns_.rests_waiting_;
      } else {
        turns_.changed_.wait(lock, [&] { return !turns_.taken_ && turns_.rests_waiting_ == 0; });
      }
      turns_.taken_ = true;
    }
    ~Turn() {
      {
        const std::lock_guard lock(turns_.mutex_);
        turns_.taken_ = false;
      }
      turns_.changed_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    DeviceTurns& turns_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool taken_ = false;
  std::size_t rests_waiting_ = 0;
};

}  // namespace splitnet::detail
