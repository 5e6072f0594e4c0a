// SPDX-License-Identifier: Apache-2.0
/// \file
/// How values are distributed, in a fixed amount of memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace splitnet {

/// How many values fell into each bucket. A plain value; not thread-safe.
struct Histogram {
  std::vector<double> bounds = {};         ///< Ascending: the largest value of each bucket but the last.
  std::vector<std::uint64_t> counts = {};  ///< One more than bounds: the last bucket has no bound.
  double sum = 0;                          ///< Of all values.

  Histogram() = default;
  explicit Histogram(std::vector<double> upper_bounds)
      : bounds(std::move(upper_bounds)), counts(bounds.size() + 1, 0) {}

  /// Bounds at 1, 2.5 and 5 in each decade, from 100 µs to 25 s.
  static Histogram of_seconds() {
    return Histogram({1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25});
  }
  /// Bounds four times as large each, from 256 bytes to 1 GiB.
  static Histogram of_bytes() {
    std::vector<double> bounds;
    for (double bound = 256; bound <= 1 << 30; bound *= 4) bounds.push_back(bound);
    return Histogram(std::move(bounds));
  }

  void observe(double value) {
    const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
    ++counts[static_cast<std::size_t>(bucket)];
    sum += value;
  }
  [[nodiscard]] std::uint64_t count() const { return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}); }
  friend bool operator==(const Histogram&, const Histogram&) = default;
};

}  // namespace splitnet
