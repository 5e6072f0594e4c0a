// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_estimator.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::throws;

LinkProfile link(double up_bytes_per_s = 1e6, double rtt_s = 0.02) {
  LinkProfile profile;
  profile.rtt_s = rtt_s;
  profile.overhead_s = 0.001;
  profile.up_bytes_per_s = up_bytes_per_s;
  profile.down_bytes_per_s = 4 * up_bytes_per_s;
  return profile;
}

/// What a request takes on `real`.
LinkEstimator::Transfer transfer(const LinkProfile& real, double at_s, double up, double down = 4000) {
  return {at_s, up, down, real.overhead_s + real.rtt_s + up / real.up_bytes_per_s + down / real.down_bytes_per_s};
}

TEST(LinkEstimator, BeginsWithTheFirstProfile) {
  const LinkEstimator estimator(link());
  const LinkProfile profile = estimator.profile(0);
  EXPECT_NEAR(profile.rtt_s, 0.02, 1e-12);
  EXPECT_NEAR(profile.up_bytes_per_s, 1e6, 1e-3);
  EXPECT_NEAR(profile.down_bytes_per_s, 4e6, 1e-3);
  EXPECT_EQ(profile.overhead_s, 0.001);
  EXPECT_LT(estimator.expected_profile(0).up_bytes_per_s, 1e6) << "doubt takes time";
  LinkProfile local = link();
  local.rtt_s = 0;
  EXPECT_EQ(LinkEstimator(local).profile(5).rtt_s, 0);
}

// One number a request: only sizes that differ tell round trip and bandwidth apart.
TEST(LinkEstimator, FindsRoundTripAndBandwidth) {
  const LinkProfile real = link(3e5, 0.05);
  LinkDynamics steady;  // Where the bandwidth swings, it could be that as well.
  steady.bandwidth_swing = 0.05;
  steady.prior_rtt = steady.prior_bandwidth = 1;
  LinkEstimator estimator(link(), steady);
  for (int i = 1; i <= 60; ++i) estimator.observe(transfer(real, i * 0.2, i % 2 == 0 ? 1000 : 60'000));
  const LinkProfile found = estimator.profile(12);
  EXPECT_NEAR(found.rtt_s, real.rtt_s, 0.1 * real.rtt_s);
  EXPECT_NEAR(found.up_bytes_per_s, real.up_bytes_per_s, 0.1 * real.up_bytes_per_s);
}

TEST(LinkEstimator, DoubtsWhatItHasNotSeenForLong) {
  const LinkProfile slow = link(1e5);
  LinkEstimator estimator(link());
  for (int i = 1; i <= 5; ++i) estimator.observe(transfer(slow, 0.1 * i, 50'000));
  const auto now = estimator.doubt(0.5);
  const auto later = estimator.doubt(10);
  EXPECT_LT(now.bandwidth, 0.2);
  EXPECT_GT(later.bandwidth, 2 * now.bandwidth);
  EXPECT_GT(later.rtt, now.rtt);
  EXPECT_EQ(estimator.doubt(0.1), estimator.doubt(0.5)) << "time does not go back";
  // A moment's trouble is not the link's nature: it is partly forgotten.
  EXPECT_LT(estimator.profile(0.5).up_bytes_per_s, 1.2e5);
  EXPECT_GT(estimator.profile(10).up_bytes_per_s, 1.3 * estimator.profile(0.5).up_bytes_per_s);
  EXPECT_LT(estimator.profile(10).up_bytes_per_s, 1e6);
  EXPECT_EQ(estimator.observed_at_s(), 0.5);
}

TEST(LinkEstimator, OneOutlierMovesItLittleAndTwoAreAChange) {
  LinkDynamics steady;
  steady.bandwidth_swing = 0.05;
  LinkEstimator estimator(link(), steady);
  for (int i = 1; i <= 20; ++i) estimator.observe(transfer(link(), 0.1 * i, 50'000));
  const LinkProfile slow = link(2e4);
  LinkEstimator once = estimator;
  once.observe(transfer(slow, 2.1, 50'000));
  EXPECT_GT(once.profile(2.1).up_bytes_per_s, 7e5);
  once.observe(transfer(link(), 2.2, 50'000));
  EXPECT_GT(once.profile(2.2).up_bytes_per_s, 8e5);

  LinkEstimator changed = estimator;
  changed.observe(transfer(slow, 2.1, 50'000));
  changed.observe(transfer(slow, 2.2, 50'000));
  EXPECT_LT(changed.profile(2.2).up_bytes_per_s, 3e4);
}

// A round trip that a stall has made long would stay so, for nothing is sent any more.
TEST(LinkEstimator, LaysAStallToTheBandwidth) {
  LinkEstimator estimator(link());
  for (int i = 1; i <= 20; ++i) estimator.observe(transfer(link(), 0.25 * i, 50'000));
  const LinkProfile before = estimator.profile(5);
  estimator.observe(transfer(link(5e4), 6, 50'000));
  EXPECT_LT(estimator.profile(6).up_bytes_per_s, 0.5 * before.up_bytes_per_s);
  EXPECT_NEAR(estimator.profile(6).rtt_s, before.rtt_s, 0.1 * before.rtt_s);
  EXPECT_GT(estimator.profile(10).up_bytes_per_s, 0.7 * before.up_bytes_per_s) << "links come back";
}

// What changes within a transfer averages out, and most bytes go while the link is fast.
TEST(LinkEstimator, ExpectsMoreOfLongTransfersThanOfShortOnes) {
  const LinkEstimator estimator(link());
  const auto expected = [&](double transfer_s) { return estimator.expected_profile(1, transfer_s).up_bytes_per_s; };
  EXPECT_LT(expected(0.01), 1e6);
  EXPECT_LT(expected(0.01), expected(1));
  EXPECT_LT(expected(1), expected(10));
  EXPECT_GT(expected(100), 1e6);
  EXPECT_EQ(expected(0.0), estimator.expected_profile(1).up_bytes_per_s);
}

TEST(LinkEstimator, LearnsFromWhatHasNotArrived) {
  LinkEstimator estimator(link());
  estimator.observe(transfer(link(), 0.1, 50'000));
  const LinkProfile before = estimator.profile(0.2);
  LinkEstimator waiting = estimator;
  waiting.observe_at_least({0.2, 50'000, 0, 0.01});
  EXPECT_EQ(waiting.profile(0.2), before) << "no more than was expected";
  waiting.observe_at_least({0.2, 50'000, 0, 1.0});
  EXPECT_LT(waiting.profile(0.2).up_bytes_per_s, 0.8 * before.up_bytes_per_s);
}

TEST(LinkEstimator, TakesNoNonsense) {
  LinkEstimator estimator(link());
  const LinkProfile before = estimator.profile(1);
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-1.0, infinity, nan}) {
    estimator.observe({1, 1000, 1000, bad});
    estimator.observe({1, bad, 1000, 1});
    estimator.observe({1, 1000, bad, 1});
  }
  estimator.observe({nan, 1000, 1000, 1});
  EXPECT_EQ(estimator.profile(1), before);
  estimator.observe({1, 0, 0, 0});  // Faster than any link.
  estimator.observe({1, 1e12, 0, 1e9});
  const LinkProfile after = estimator.profile(1);
  EXPECT_NO_THROW(after.validate());
  LinkDynamics dynamics;
  dynamics.memory_s = 0;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "memory_s", [&] { LinkEstimator(link(), dynamics); }));
  LinkProfile dead = link();
  dead.up_bytes_per_s = 0;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "up_bytes_per_s", [&] { (void)LinkEstimator(dead); }));
}

// A link that moves as it is expected to: better than both its mean and what was seen last.
TEST(LinkEstimator, PredictsAWanderingLink) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  const LinkDynamics dynamics;
  LinkEstimator estimator(link(), dynamics);
  double deviation = 0;
  double last = 0;
  double by_filter = 0;
  double by_mean = 0;
  double by_last = 0;
  for (int i = 1; i <= 4000; ++i) {
    const double left = std::exp(-0.3 / dynamics.memory_s);
    deviation = left * deviation + dynamics.bandwidth_swing * std::sqrt(1 - left * left) * normal(random);
    const LinkProfile real = link(1e6 * std::exp(-deviation));
    const double at_s = 0.3 * i;
    const double guess = -std::log(estimator.profile(at_s).up_bytes_per_s / 1e6);
    by_filter += (guess - deviation) * (guess - deviation);
    by_mean += deviation * deviation;
    by_last += (last - deviation) * (last - deviation);
    auto seen = transfer(real, at_s, 50'000, 0);
    seen.transport_s *= std::exp(dynamics.measurement * normal(random));
    last = std::log(std::max(0.001, seen.transport_s - real.overhead_s - real.rtt_s) / 0.05);
    estimator.observe(seen);
  }
  EXPECT_LT(by_filter, 0.95 * by_last);
  EXPECT_LT(by_filter, 0.8 * by_mean);
}

}  // namespace
}  // namespace splitnet
