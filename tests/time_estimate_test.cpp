// SPDX-License-Identifier: Apache-2.0
#include "time_estimate.hpp"

#include <gtest/gtest.h>

namespace splitnet::detail {
namespace {

TEST(TimeEstimate, KnowsNothingAtFirstAndLittleAfterOneSample) {
  TimeEstimate estimate;
  EXPECT_EQ(estimate.mean_s(), std::nullopt);
  EXPECT_EQ(estimate.at_least_s(), 0);
  estimate.note(2);
  EXPECT_EQ(estimate.mean_s(), 2);
  EXPECT_EQ(estimate.at_least_s(), 0);
}

TEST(TimeEstimate, TrustsWhatIsSteady) {
  TimeEstimate estimate;
  for (int i = 0; i < 40; ++i) estimate.note(2);
  EXPECT_NEAR(*estimate.mean_s(), 2, 1e-9);
  EXPECT_NEAR(estimate.at_least_s(), 2, 0.01);
}

TEST(TimeEstimate, FollowsAChangeAndDoubtsItselfMeanwhile) {
  TimeEstimate estimate;
  for (int i = 0; i < 40; ++i) estimate.note(2);
  estimate.note(10);
  EXPECT_NEAR(*estimate.mean_s(), 3, 1e-9);
  EXPECT_EQ(estimate.at_least_s(), 0);
  for (int i = 0; i < 60; ++i) estimate.note(10);
  EXPECT_NEAR(*estimate.mean_s(), 10, 0.01);
}

}  // namespace
}  // namespace splitnet::detail
