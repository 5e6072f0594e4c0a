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
// Of the time that was expected, for bytes to be what a transfer tells of.
constexpr double least_share = 0.2;
// A round trip of nothing has no logarithm.
constexpr double shortest_s = 1e-6;
// Standard deviation of the long-run mean that doubt about it does not grow beyond by itself.
constexpr double most_drift = 1;

enum Index : unsigned { rtt, long_run, deviation };

double square(double x) {
  return x * x;
}

double first_log_rtt(const LinkProfile& first) {
  return std::log(std::max(first.rtt_s, shortest_s));
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
  detail::check_not_negative("LinkDynamics::rtt_swing", rtt_swing);
  detail::check_positive("LinkDynamics::rtt_memory_s", rtt_memory_s);
  detail::check_positive("LinkDynamics::measurement", measurement);
  detail::check_not_negative("LinkDynamics::prior_bandwidth", prior_bandwidth);
  detail::check_not_negative("LinkDynamics::prior_rtt", prior_rtt);
}

LinkEstimator::LinkEstimator(const LinkProfile& first, const LinkDynamics& dynamics)
    : first_(first), dynamics_(dynamics) {
  first.validate();
  dynamics.validate();
  Vector::Map(state_.mean.data()) << first_log_rtt(first), -std::log(first.up_bytes_per_s), 0;
  Matrix::Map(state_.covariance.data()).diagonal() << square(dynamics.prior_rtt), square(dynamics.prior_bandwidth),
      square(dynamics.bandwidth_swing);
}

LinkEstimator::State LinkEstimator::state_at(double at_s) const {
  State state = state_;
  const double passed_s = at_s - state_.at_s;
  if (!(passed_s > 0)) return state;
  const Vector move{std::exp(-passed_s / dynamics_.rtt_memory_s), 1, std::exp(-passed_s / dynamics_.memory_s)};
  auto mean = Vector::Map(state.mean.data());
  auto covariance = Matrix::Map(state.covariance.data());
  const Vector centre{first_log_rtt(first_), 0, 0};
  mean = (centre + (mean - centre).cwiseProduct(move)).eval();
  covariance = (move.asDiagonal() * covariance * move.asDiagonal()).eval();
  const double drifted = square(dynamics_.bandwidth_drift_per_s) * passed_s;
  covariance.diagonal() += Vector{square(dynamics_.rtt_swing) * (1 - square(move[rtt])),
                                  std::min(drifted, std::max(0.0, square(most_drift) - covariance(long_run, long_run))),
                                  square(dynamics_.bandwidth_swing) * (1 - square(move[deviation]))};
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

  Vector slope{rtt_s / expected_s, sending_s / expected_s, sending_s / expected_s};
  double noise = square(dynamics_.measurement);
  double doubt = slope.dot(covariance * slope);
  const auto is_far = [&] { return std::abs(off) > farthest * std::sqrt(doubt + noise); };
  if (!is_far()) {
    is_surprised_ = false;
  } else if (!is_surprised_) {
    is_surprised_ = true;
    if (off > 0 && sending_s > least_share * expected_s) {
      // What is far too late has stood still: an observation of the bandwidth alone.
      off = std::log((seen_s - rtt_s) / sending_s);
      slope = {0, 1, 1};
      noise *= square(seen_s / (seen_s - rtt_s));
      doubt = bandwidth_variance(covariance);
    }
    if (is_far()) noise = square(off / farthest) - doubt;
  } else {
    // Of what this transfer says most about: its bytes, or the round trip when they are few.
    const Index which = slope[deviation] >= slope[rtt] ? deviation : rtt;
    const double missing = std::max(0.0, off * off - noise - doubt);
    covariance(which, which) += missing / square(slope[which]);
    doubt += missing;
  }
  const Vector gain = covariance * slope / (doubt + noise);
  mean += gain * off;
  covariance -= (gain * (slope.transpose() * covariance)).eval();
  covariance = (0.5 * (covariance + covariance.transpose())).eval();
  state_ = state;
}

LinkProfile LinkEstimator::profile_of(double log_rtt_s, double log_s_per_byte) const {
  LinkProfile profile = first_;
  if (first_.rtt_s > 0) profile.rtt_s = std::exp(log_rtt_s);
  profile.up_bytes_per_s = std::exp(-log_s_per_byte);
  profile.down_bytes_per_s = profile.up_bytes_per_s * first_.down_bytes_per_s / first_.up_bytes_per_s;
  return profile;
}

LinkProfile LinkEstimator::profile(double at_s) const {
  const State state = state_at(at_s);
  const auto mean = Vector::Map(state.mean.data());
  return profile_of(mean[rtt], mean[long_run] + mean[deviation]);
}

LinkProfile LinkEstimator::expected_profile(double at_s, double transfer_s) const {
  const State state = state_at(at_s);
  const auto mean = Vector::Map(state.mean.data());
  const Matrix c = Matrix::Map(state.covariance.data());
  // Of the deviation x(t), t = 0 … transfer_s, from x(0): its mean over that time is kept · x(0), and varies by
  // swing² · g around it (Gillespie, "Exact numerical simulation of the Ornstein-Uhlenbeck process", 1996).
  const double u = std::max(transfer_s / dynamics_.memory_s, 1e-3);
  const double kept = (1 - std::exp(-u)) / u;
  const double kept_squares = (1 - std::exp(-2 * u)) / (2 * u);
  const double g = (2 * u - 3 + 4 * std::exp(-u) - std::exp(-2 * u)) / square(u);
  const double swing = square(dynamics_.bandwidth_swing);
  const double between =
      c(long_run, long_run) + 2 * kept * c(long_run, deviation) + square(kept) * c(deviation, deviation) + swing * g;
  const double within =
      std::max(0.0, (kept_squares - square(kept)) * c(deviation, deviation) + swing * (1 - kept_squares - g));
  return profile_of(mean[rtt] + c(rtt, rtt) / 2, mean[long_run] + kept * mean[deviation] + (between - within) / 2);
}

LinkEstimator::Doubt LinkEstimator::doubt(double at_s) const {
  const State state = state_at(at_s);
  const Matrix covariance = Matrix::Map(state.covariance.data());
  return {std::sqrt(covariance(rtt, rtt)), std::sqrt(bandwidth_variance(covariance))};
}

}  // namespace splitnet
