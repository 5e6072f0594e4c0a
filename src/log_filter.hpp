// SPDX-License-Identifier: Apache-2.0
// One number that wanders: a load factor, the time of a stage. Private.
#pragma once

#include <algorithm>
#include <cmath>

namespace splitnet::detail {

/// Kalman filter of a logarithm that wanders around what it was first (an Ornstein–Uhlenbeck process), so that what was
/// seen long ago counts for little. An observation farther off than three standard deviations counts as three. Not
/// thread-safe. Times are seconds of one clock.
class LogFilter {
 public:
  struct Dynamics {
    double swing = 0.5;         ///< Standard deviation of the logarithm around the first one …
    double memory_s = 60;       ///< … and how long it is remembered (to 1/e).
    double measurement = 0.15;  ///< Standard deviation of one observation.
    double prior = 0.2;
  };
  LogFilter(double first, const Dynamics& dynamics)
      : dynamics_(dynamics), first_(std::log(first)), variance_(dynamics.prior * dynamics.prior) {}

  /// What is not above 0 is not taken in.
  void observe(double at_s, double value) {
    if (!(value > 0) || !std::isfinite(value)) return;
    variance_ = variance_at(at_s);
    away_ *= left_at(at_s);
    at_s_ = std::max(at_s, at_s_);
    const double noise = dynamics_.measurement * dynamics_.measurement;
    const double most = 3 * std::sqrt(variance_ + noise);
    const double off = std::clamp(std::log(value) - first_ - away_, -most, most);
    away_ += off * variance_ / (variance_ + noise);
    variance_ *= noise / (variance_ + noise);
  }
  /// The median.
  [[nodiscard]] double value(double at_s) const { return std::exp(first_ + away_ * left_at(at_s)); }
  /// The mean, which doubt makes larger.
  [[nodiscard]] double expected(double at_s) const { return value(at_s) * std::exp(variance_at(at_s) / 2); }

 private:
  /// What is left of the deviation from the first one.
  [[nodiscard]] double left_at(double at_s) const {
    return std::exp(-std::max(0.0, at_s - at_s_) / dynamics_.memory_s);
  }
  [[nodiscard]] double variance_at(double at_s) const {
    const double left = left_at(at_s);
    return variance_ * left * left + dynamics_.swing * dynamics_.swing * (1 - left * left);
  }

  Dynamics dynamics_;
  double at_s_ = 0;
  double first_;
  double away_ = 0;
  double variance_;
};

}  // namespace splitnet::detail
