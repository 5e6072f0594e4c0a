// SPDX-License-Identifier: Apache-2.0
// Seconds, and what the monotonic clock counts. Private.
#pragma once

#include <algorithm>
#include <chrono>

namespace splitnet::detail {

inline double seconds_between(std::chrono::steady_clock::time_point start, std::chrono::steady_clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}
inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return seconds_between(start, std::chrono::steady_clock::now());
}

/// Of three years at most, so that it can be added to a point in time.
inline std::chrono::steady_clock::duration as_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e8)));
}

}  // namespace splitnet::detail
