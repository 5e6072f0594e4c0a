// SPDX-License-Identifier: Apache-2.0
// How long passes on the device take at worst. Private.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace splitnet::detail {

/// Remembers by what factor the latest passes took longer than expected, but for those so short that it says nothing
/// about others. Thread-safe.
class PassTimes {
 public:
  void note(double expected_s, double taken_s) {
    if (!(expected_s >= shortest_s) || !(taken_s > 0)) return;
    const std::lock_guard lock(mutex_);
    factors_[count_++ % factors_.size()] = taken_s / expected_s;
  }

  /// The 99th percentile of the factor. Of fewer than a hundred passes it is the largest, and more the fewer they are:
  /// twice of a single one. Of none: 2.
  [[nodiscard]] double p99() const {
    const std::lock_guard lock(mutex_);
    const std::size_t seen = std::min(count_, factors_.size());
    if (seen == 0) return 2;
    std::array<double, latest> sorted = factors_;
    const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(seen);
    if (seen < 100) return *std::max_element(sorted.begin(), end) * (1 + 1 / static_cast<double>(seen));
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(seen * 99 / 100);
    std::nth_element(sorted.begin(), at, end);
    return *at;
  }

 private:
  static constexpr double shortest_s = 1e-3;
  static constexpr std::size_t latest = 256;
  mutable std::mutex mutex_;
  std::array<double, latest> factors_{};
  std::size_t count_ = 0;
};

}  // namespace splitnet::detail
