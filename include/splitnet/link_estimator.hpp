// SPDX-License-Identifier: Apache-2.0
/// \file
/// What ordinary traffic tells about a link that changes.
#pragma once

#include <array>

#include "splitnet/link_profile.hpp"

namespace splitnet {

/// How a link is expected to move. The defaults fit recorded mobile up-links and do no harm on a wire.
struct LinkDynamics {
  /// Standard deviations of natural logarithms: what the bandwidth does around its long-run mean …
  double bandwidth_swing = 0.6;
  double memory_s = 0.7;                ///< … and how long it remembers (to 1/e). Above 0.
  double bandwidth_drift_per_s = 0.02;  ///< Of the long-run mean, in a second; grows with the square root of time.
  double rtt_swing = 0.3;               ///< Likewise of the round trip around the first one …
  double rtt_memory_s = 60;             ///< … and how long it remembers. Above 0.
  double measurement = 0.15;            ///< Of one observation.
  /// Of the first link profile, which was measured.
  double prior_bandwidth = 0.3;
  double prior_rtt = 0.1;

  /// Throws invalid_argument naming the field.
  void validate() const;
  friend bool operator==(const LinkDynamics&, const LinkDynamics&) = default;
};

/// Kalman filter over x = (ln rtt, ln s/byte in the long run, its present deviation), observing the logarithm of
///   rtt + (up + down · up_bandwidth / down_bandwidth) · s/byte,
/// linearised where it stands (the extended Kalman filter: Jazwinski, *Stochastic Processes and Filtering Theory*,
/// 1970, ch. 8); the deviation is an Ornstein–Uhlenbeck process, and so is the round trip around the first one. An
/// observation farther off than three standard deviations is taken for as noisy as makes it three, and when it is too
/// late for the bandwidth alone; if the next one is far off too, the link has changed, and the doubt grows to what was
/// seen: of the present deviation, or of the round trip where that is most of the time. Up and down keep the ratio of
/// the first profile.
///
/// A plain value: copies go their own ways. Times are seconds of one clock, which does not go back.
class LinkEstimator {
 public:
  /// Throws invalid_argument as LinkProfile::validate and LinkDynamics::validate.
  explicit LinkEstimator(const LinkProfile& first, const LinkDynamics& dynamics = {});

  /// One request and its reply, of which `transport_s` were on the road (HopTimes::transport_s), ended at `at_s`.
  struct Transfer {
    double at_s = 0;
    double bytes_up = 0;
    double bytes_down = 0;
    double transport_s = 0;
  };
  /// What can't be (negative, not finite) is not taken in.
  void observe(const Transfer& transfer);
  /// A request that is still on the road after so long: tells something only when less was expected.
  void observe_at_least(const Transfer& so_far);

  /// What is most likely at this time: medians. Of the first profile's name, overhead and jitter.
  [[nodiscard]] LinkProfile profile(double at_s) const;
  /// For planning transfers that take about so long: the times that are to be expected. What one transfer may meet and
  /// another one not makes them longer than the likeliest; what changes within a transfer makes them shorter, for then
  /// most bytes go when the link is fast.
  [[nodiscard]] LinkProfile expected_profile(double at_s, double transfer_s = 0) const;
  /// Standard deviations of the logarithms.
  struct Doubt {
    double rtt = 0;
    double bandwidth = 0;
    friend bool operator==(const Doubt&, const Doubt&) = default;
  };
  [[nodiscard]] Doubt doubt(double at_s) const;
  /// When something was taken in last; that of the first profile is 0.
  [[nodiscard]] double observed_at_s() const noexcept { return state_.at_s; }

 private:
  struct State {
    double at_s = 0;
    std::array<double, 3> mean{};
    std::array<double, 9> covariance{};
  };
  [[nodiscard]] State state_at(double at_s) const;
  void take_in(const Transfer& transfer, bool is_lower_bound);
  [[nodiscard]] LinkProfile profile_of(double log_rtt_s, double log_s_per_byte) const;

  LinkProfile first_;
  LinkDynamics dynamics_;
  State state_;
  bool is_surprised_ = false;  ///< The last observation was more than three deviations off.
};

}  // namespace splitnet
