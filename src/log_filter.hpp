// SPDX-License-Identifier: Apache-2.0
// One number that wanders: a load factor, the time of a stage. Private.
#pragma once

#include <algorithm>
#include <cmath>

namespace splitnet::detail {

/// Kalman filter of a logarithm that does a random walk. An observation farther off than three standard deviations
/// counts as three. Not thread-safe. Times are seconds of one clock.
class LogFilter {
 public:
  struct Dynamics {
    double drift_per_s = 0.1;   ///< Standard deviation of the logarithm, in a second.
    double measurement = 0.15;  ///< Likewise, of one observation.
    double prior = 0.2;
  };
  LogFilter(double first, const Dynamics& dynamics)
      : dynamics_(dynamics), mean_(std::log(first)), variance_(dynamics.prior * dynamics.prior) {}

  /// What is not above 0 is not taken in.
  void observe(double at_s, double value) {
    if (!(value > 0) || !std::isfinite(value)) return;
    variance_ = variance_at(at_s);
    at_s_ = std::max(at_s, at_s_);
    const double noise = dynamics_.measurement * dynamics_.measurement;
    const double most = 3 * std::sqrt(variance_ + noise);
    const double off = std::clamp(std::log(value) - mean_, -most, most);
    mean_ += off * variance_ / (variance_ + noise);
    variance_ *= noise / (variance_ + noise);
  }
  /// The median.
  [[nodiscard]] double value() const { return std::exp(mean_); }
  /// The mean, which doubt makes larger.
  [[nodiscard]] double expected(double at_s) const { return std::exp(mean_ + variance_at(at_s) / 2); }
  /// Standard deviation of the logarithm.
  [[nodiscard]] double doubt(double at_s) const { return std::sqrt(variance_at(at_s)); }

 private:
  [[nodiscard]] double variance_at(double at_s) const {
    return variance_ + dynamics_.drift_per_s * dynamics_.drift_per_s * std::max(0.0, at_s - at_s_);
  }

  Dynamics dynamics_;
  double at_s_ = 0;
  double mean_;
  double variance_;
};

}  // namespace splitnet::detail
