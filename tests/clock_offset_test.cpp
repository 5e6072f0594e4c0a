// SPDX-License-Identifier: Apache-2.0
#include "splitnet/clock_offset.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace splitnet {
namespace {

/// At `at_s` on our clock, with a clock there that is ahead by `offset_s`.
RoundTrip trip(double at_s, double offset_s, double up_s, double work_s, double down_s) {
  return {at_s, at_s + up_s + offset_s, at_s + up_s + work_s + offset_s, at_s + up_s + work_s + down_s};
}

TEST(ClockOffset, IsThatOfNtpAfterOneRoundTrip) {
  ClockOffset clock;
  const RoundTrip one{10, 110.3, 110.7, 11.2};
  clock.observe(one);
  const double ntp = ((one.there_received_s - one.sent_s) + (one.there_sent_s - one.received_s)) / 2;
  EXPECT_DOUBLE_EQ(clock.offset_s(), ntp);
}

TEST(ClockOffset, IsExactWhereBothWaysAreAlike) {
  ClockOffset clock;
  clock.observe(trip(5, -3000, 0.02, 0.1, 0.02));
  EXPECT_NEAR(clock.offset_s(), -3000, 1e-9);
  EXPECT_NEAR(clock.here_s(-2994.9), 5.1, 1e-9);
}

/// Whatever the delays, it is off by at most half of the shortest time on the road, and by what clocks may drift.
TEST(ClockOffset, IsCloseToTheTruth) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-4, 0);
  std::uniform_real_distribution<double> any(-1e5, 1e5);
  const auto delay = [&] { return std::pow(10, exponent(random)); };
  for (int repeat = 0; repeat < 200; ++repeat) {
    const double offset = any(random);
    ClockOffset clock;
    double shortest = 1e9;
    double at = 1000;
    const double began = at;
    for (int i = 0; i < 50; ++i) {
      const double up = delay();
      const double down = i % 3 == 0 ? up : delay() * 1e-2;  // Often far from alike.
      const double work = delay();
      clock.observe(trip(at, offset, up, work, down));
      at += up + work + down + delay();
      shortest = std::min(shortest, up + down);
      constexpr double rounding = 1e-9;
      EXPECT_LE(std::abs(clock.offset_s() - offset), shortest / 2 + ClockOffset::drift * (at - began) + rounding);
    }
  }
}

/// The newest trip is never at odds with the offset: what happened there lies within it.
TEST(ClockOffset, KeepsEveryTripInOrder) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> delay(0, 0.1);
  ClockOffset clock;
  double at = 0;
  for (int i = 0; i < 1000; ++i) {
    const double offset = i < 500 ? 1e4 : -7.0;  // Started anew.
    const RoundTrip now = trip(at, offset, delay(random), delay(random), delay(random));
    clock.observe(now);
    at = now.received_s + delay(random);
    constexpr double rounding = 1e-9;
    EXPECT_GE(clock.here_s(now.there_received_s), now.sent_s - rounding);
    EXPECT_LE(clock.here_s(now.there_sent_s), now.received_s + rounding);
  }
}

TEST(ClockOffset, FollowsAClockThatDrifts) {
  constexpr double rate = 5e-5;
  ClockOffset clock;
  for (double at = 0; at < 10'000; at += 7) {
    const double offset = 3 + rate * at;
    clock.observe(trip(at, offset, 0.001, 0.01, 0.001));
    EXPECT_LE(std::abs(clock.offset_s() - offset), 0.001 + 1e-9);
  }
}

TEST(ClockOffset, LeavesOutWhatCanNotBe) {
  ClockOffset clock;
  clock.observe(trip(1, 100, 0.1, 0.1, 0.1));
  const double before = clock.offset_s();
  clock.observe({2, 50, 60, 3});  // Ten seconds of work in one.
  EXPECT_EQ(clock.offset_s(), before);
}

}  // namespace
}  // namespace splitnet
