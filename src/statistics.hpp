// SPDX-License-Identifier: Apache-2.0
// Robust statistics of a few measurements. Private.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace splitnet::detail {

/// Of an even number the mean of the two in the middle; 0 of nothing.
inline double median(std::vector<double> numbers) {
  if (numbers.empty()) return 0;
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  if (numbers.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(numbers.begin(), middle)) / 2;
}

/// Median absolute deviation from the median.
inline double spread(const std::vector<double>& numbers) {
  const double middle = median(numbers);
  std::vector<double> distances;
  for (const double number : numbers) distances.push_back(std::abs(number - middle));
  return median(std::move(distances));
}

}  // namespace splitnet::detail
