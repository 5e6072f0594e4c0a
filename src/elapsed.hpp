// SPDX-License-Identifier: Apache-2.0
// Seconds of the monotonic clock, for what is measured or kept as a number. Private.
#pragma once

#include <algorithm>
#include <chrono>

namespace splitnet::detail {

inline double in_seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}
inline double seconds_between(std::chrono::steady_clock::time_point start, std::chrono::steady_clock::time_point end) {
  return in_seconds(end - start);
}
inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return seconds_between(start, std::chrono::steady_clock::now());
}
/// What this machine's clock shows: comparable with other times of the same machine only.
inline double reading_s(std::chrono::steady_clock::time_point time) {
  return in_seconds(time.time_since_epoch());
}
/// Of three years at most, so that it can be added to a point in time.
inline std::chrono::steady_clock::duration as_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e8)));
}

}  // namespace splitnet::detail
