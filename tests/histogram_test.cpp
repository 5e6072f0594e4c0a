// SPDX-License-Identifier: Apache-2.0
#include "splitnet/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace splitnet {
namespace {

TEST(Histogram, CountsAValueInTheFirstBucketThatReachesIt) {
  Histogram histogram({1, 2, 4});
  for (const double value : {0.5, 1.0, 1.5, 2.0, 4.5, 100.0}) histogram.observe(value);
  EXPECT_EQ(histogram.counts, (std::vector<std::uint64_t>{2, 2, 0, 2}));
  EXPECT_EQ(histogram.count(), 6U);
  EXPECT_DOUBLE_EQ(histogram.sum, 109.5);
}

TEST(Histogram, BoundsAscend) {
  for (const Histogram& histogram : {Histogram::of_seconds(), Histogram::of_bytes()}) {
    EXPECT_TRUE(std::is_sorted(histogram.bounds.begin(), histogram.bounds.end()));
    EXPECT_EQ(histogram.counts.size(), histogram.bounds.size() + 1);
    EXPECT_EQ(histogram.count(), 0U);
  }
  EXPECT_EQ(Histogram::of_bytes().bounds.back(), 1 << 30);
}

}  // namespace
}  // namespace splitnet
