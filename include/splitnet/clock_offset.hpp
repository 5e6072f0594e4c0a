// SPDX-License-Identifier: Apache-2.0
/// \file
/// What another machine's clock shows, seen from here.
#pragma once

#include <algorithm>
#include <limits>

namespace splitnet {

/// The four readings of one request and its answer, each in seconds of a monotonic clock.
struct RoundTrip {
  double sent_s = 0;            ///< Here.
  double there_received_s = 0;  ///< By the clock there.
  double there_sent_s = 0;      ///< Likewise.
  double received_s = 0;        ///< Here.
};

/// The offset of a clock from ours: there = here + offset. A request can't arrive before it was sent, nor an answer
/// before it was given, so every round trip bounds it, however unlike the ways there and back are:
///
///   there_sent − received ≤ offset ≤ there_received − sent
///
/// The middle of that is the offset of NTP (RFC 5905, section 8), off by at most half of the time spent on the road.
/// What several round trips leave over is narrower, and so does not count the long way of a large request as an offset.
/// Bounds grow apart as clocks may drift. Where nothing is left over the clock is another one (its machine has been
/// started anew), and the past is forgotten. A plain value; not thread-safe.
class ClockOffset {
 public:
  /// How much faster one of the clocks may run than the other.
  static constexpr double drift = 1e-4;

  /// Round trips whose times can't be are left out.
  void observe(const RoundTrip& trip) {
    const double lowest = trip.there_sent_s - trip.received_s;
    const double highest = trip.there_received_s - trip.sent_s;
    if (!(lowest <= highest)) return;
    const double aged = drift * std::max(0.0, trip.received_s - at_s_);
    at_s_ = std::max(at_s_, trip.received_s);
    lowest_s_ = std::max(lowest_s_ - aged, lowest);
    highest_s_ = std::min(highest_s_ + aged, highest);
    if (lowest_s_ <= highest_s_) return;
    lowest_s_ = lowest;
    highest_s_ = highest;
  }
  /// After at least one round trip.
  [[nodiscard]] double offset_s() const { return lowest_s_ + (highest_s_ - lowest_s_) / 2; }
  /// What a reading of the other clock is on ours.
  [[nodiscard]] double here_s(double there_s) const { return there_s - offset_s(); }

 private:
  double at_s_ = 0;
  double lowest_s_ = -std::numeric_limits<double>::infinity();
  double highest_s_ = std::numeric_limits<double>::infinity();
};

}  // namespace splitnet
