// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_estimator.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "check_number.hpp"

namespace splitnet {
namespace {

using Vector = Eigen::Vector3d;
using Matrix = Eigen::Matrix3d;

// Standard deviations that one observation may be off by before it is doubted itself.
constexpr double farthest = 3;
// A round trip of nothing has no logarithm.
constexpr double shortest_s = 1e-6;

enum Index : unsigned { rtt, long_run, deviation };

double square(double x) {
  return x * x;
}

/// Of the seconds per byte.
double bandwidth_variance(const Matrix& c) {
  return c(long_run, long_run) + 2 * c(long_run, deviation) + c(deviation, deviation);
}

}  // namespace

void LinkDynamics::validate() const {
  detail::check_not_negative("LinkDynamics::bandwidth_swing", bandwidth_swing);
  detail::check_positive("LinkDynamics::memory_s", memory_s);
  detail::check_not_negative("LinkDynamics::bandwidth_drift_per_s", bandwidth_drift_per_s);
  detail::check_not_negative("LinkDynamics::rtt_drift_per_s", rtt_drift_per_s);
  detail::check_positive("LinkDynamics::measurement", measurement);
  detail::check_not_negative("LinkDynamics::prior_bandwidth", prior_bandwidth);
  detail::check_not_negative("LinkDynamics::prior_rtt", prior_rtt);
}

LinkEstimator::LinkEstimator(const LinkProfile& first, const LinkDynamics& dynamics)
    : first_(first), dynamics_(dynamics) {
  first.validate();
  dynamics.validate();
  Vector::Map(state_.mean.data()) << std::log(std::max(first.rtt_s, shortest_s)), -std::log(first.up_bytes_per_s), 0;
  Matrix::Map(state_.covariance.data()).diagonal() << square(dynamics.prior_rtt), square(dynamics.prior_bandwidth),
      square(dynamics.bandwidth_swing);
}

LinkEstimator::State LinkEstimator::state_at(double at_s) const {
  State state = state_;
  const double passed_s = at_s - state_.at_s;
  if (!(passed_s > 0)) return state;
  const double left = std::exp(-passed_s / dynamics_.memory_s);
  const Vector move{1, 1, left};
  auto mean = Vector::Map(state.mean.data());
  auto covariance = Matrix::Map(state.covariance.data());
  mean = mean.cwiseProduct(move).eval();
  covariance = (move.asDiagonal() * covariance * move.asDiagonal()).eval();
  covariance.diagonal() +=
      Vector{square(dynamics_.rtt_drift_per_s) * passed_s, square(dynamics_.bandwidth_drift_per_s) * passed_s,
             square(dynamics_.bandwidth_swing) * (1 - square(left))};
  state.at_s = at_s;
  return state;
}

void LinkEstimator::observe(const Transfer& transfer) {
  take_in(transfer, false);
}

void LinkEstimator::observe_at_least(const Transfer& so_far) {
  take_in(so_far, true);
}

void LinkEstimator::take_in(const Transfer& transfer, bool is_lower_bound) {
  const auto is_size = [](double bytes) { return std::isfinite(bytes) && bytes >= 0; };
  if (!std::isfinite(transfer.at_s) || !std::isfinite(transfer.transport_s) || transfer.transport_s < 0) return;
  if (!is_size(transfer.bytes_up) || !is_size(transfer.bytes_down)) return;
  State state = state_at(transfer.at_s);
  auto mean = Vector::Map(state.mean.data());
  auto covariance = Matrix::Map(state.covariance.data());

  const double bytes = transfer.bytes_up + transfer.bytes_down * first_.up_bytes_per_s / first_.down_bytes_per_s;
  const double rtt_s = std::exp(mean[rtt]);
  const double sending_s = bytes * std::exp(mean[long_run] + mean[deviation]);
  const double expected_s = rtt_s + sending_s;
  const double seen_s = std::max(transfer.transport_s - first_.overhead_s, shortest_s);
  double off = std::log(seen_s / expected_s);
  if (is_lower_bound && off <= 0) return;

  const Vector slope{rtt_s / expected_s, sending_s / expected_s, sending_s / expected_s};
  const double noise = square(dynamics_.measurement);
  double doubt = slope.dot(covariance * slope);
  const double most = farthest * std::sqrt(doubt + noise);
  if (std::abs(off) <= most) {
    surprised_ = 0;
  } else if (const int side = off > 0 ? 1 : -1; surprised_ != side) {
    surprised_ = side;
    off = side * most;
  } else {
    const double grown = std::max(1.0, (off * off - noise) / doubt);
    covariance *= grown;
    doubt *= grown;
  }
  const Vector gain = covariance * slope / (doubt + noise);
  mean += gain * off;
  covariance -= (gain * (slope.transpose() * covariance)).eval();
  covariance = (0.5 * (covariance + covariance.transpose())).eval();
  state_ = state;
}

/// The likeliest one, and so many halves of each variance slower.
LinkProfile LinkEstimator::profile_of(const State& state, double halves) const {
  const auto mean = Vector::Map(state.mean.data());
  const Matrix covariance = Matrix::Map(state.covariance.data());
  LinkProfile profile = first_;
  if (first_.rtt_s > 0) profile.rtt_s = std::exp(mean[rtt] + halves * covariance(rtt, rtt) / 2);
  profile.up_bytes_per_s = std::exp(-(mean[long_run] + mean[deviation] + halves * bandwidth_variance(covariance) / 2));
  profile.down_bytes_per_s = profile.up_bytes_per_s * first_.down_bytes_per_s / first_.up_bytes_per_s;
  return profile;
}

LinkProfile LinkEstimator::profile(double at_s) const {
  return profile_of(state_at(at_s), 0);
}

LinkProfile LinkEstimator::expected_profile(double at_s) const {
  return profile_of(state_at(at_s), 1);
}

LinkEstimator::Doubt LinkEstimator::doubt(double at_s) const {
  const State state = state_at(at_s);
  const Matrix covariance = Matrix::Map(state.covariance.data());
  return {std::sqrt(covariance(rtt, rtt)), std::sqrt(bandwidth_variance(covariance))};
}

}  // namespace splitnet
