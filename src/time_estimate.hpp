// SPDX-License-Identifier: Apache-2.0
// How long something takes of late. Private.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

namespace splitnet::detail {

/// Moving averages of a duration and of how far it strays, with the weights that TCP has for its round trips (RFC 6298,
/// section 2). Not thread-safe.
class TimeEstimate {
 public:
  void note(double sample_s) {
    if (!mean_s_) {
      mean_s_ = sample_s;
      deviation_s_ = sample_s / 2;
      return;
    }
    deviation_s_ += (std::abs(sample_s - *mean_s_) - deviation_s_) / 4;
    *mean_s_ += (sample_s - *mean_s_) / 8;
  }
  /// Nothing before the first sample.
  [[nodiscard]] std::optional<double> mean_s() const noexcept { return mean_s_; }
  /// It hardly ever takes less; 0 while little is known.
  [[nodiscard]] double at_least_s() const noexcept { return std::max(0.0, mean_s_.value_or(0) - 4 * deviation_s_); }

 private:
  std::optional<double> mean_s_;
  double deviation_s_ = 0;
};

}  // namespace splitnet::detail
