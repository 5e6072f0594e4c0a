// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace splitnet::bench {

/// The number below which `part` (0 … 1) of them lie, always one of them; of none 0.
inline double quantile(std::vector<double> values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<std::size_t>(part * static_cast<double>(values.size())))];
}
/// Of an even count the upper one.
inline double median(std::vector<double> values) {
  return quantile(std::move(values), 0.5);
}

}  // namespace splitnet::bench
