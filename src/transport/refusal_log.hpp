// SPDX-License-Identifier: Apache-2.0
// Says whom a listener turns away. Private.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "admission.hpp"
#include "splitnet/log.hpp"

namespace splitnet::detail {

/// One record a second: strangers must not fill a disk. The others are counted, and the next record says how many they
/// were. Thread-safe.
class RefusalLog {
 public:
  explicit RefusalLog(LogSink sink) : sink_(std::move(sink)) {}

  using Clock = RateLimit::Clock;

  void note(const std::string& peer, const Error& why, Clock::time_point now = Clock::now()) {
    if (!sink_) return;
    std::uint64_t left_out = 0;
    {
      const std::lock_guard lock(mutex_);
      if (!records_.take(now)) {
        ++left_out_;
        return;
      }
      left_out = std::exchange(left_out_, 0);
    }
    std::vector<LogField> fields{{"peer", peer}, {"code", std::string(to_string(why.code()))}};
    if (left_out > 0) fields.push_back({"left_out", left_out});
    sink_({LogLevel::warning, why.what(), std::move(fields)});
  }

 private:
  const LogSink sink_;
  std::mutex mutex_;
  RateLimit records_{1};
  std::uint64_t left_out_ = 0;
};

}  // namespace splitnet::detail
