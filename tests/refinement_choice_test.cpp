// SPDX-License-Identifier: Apache-2.0
#include "refinement_choice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace splitnet::detail {
namespace {

/// Margins spread evenly up to 5 nat, errors of this deviation.
RefinementRung rung(double ratio, double deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> error(0, deviation);
  RefinementRung result{ratio, {}, {}};
  for (int i = 0; i < 400; ++i) {
    const double exact = 5 * (i + 0.5) / 400;
    const double lead = exact + error(random);
    result.margins_nat.push_back(std::abs(lead));
    result.overstated_nat.push_back(std::abs(lead) - (lead >= 0 ? exact : -exact));
  }
  return result;
}

double share_below(const RefinementRung& rung, double margin) {
  const auto below = [&](double m) { return m < margin; };
  return static_cast<double>(std::count_if(rung.margins_nat.begin(), rung.margins_nat.end(), below)) /
         static_cast<double>(rung.margins_nat.size());
}

TEST(RefinementChoice, TakesFewerBytesThanOneCodecForAll) {
  const std::vector<RefinementRung> rungs{rung(0.2, 0.005, 1), rung(0.1, 0.2, 2), rung(0.05, 1, 3)};
  const auto choice = choose_refinement(rungs, 0.01);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->second, 0U);
  EXPECT_EQ(choice->first, 1U);
  const double share = share_below(rungs[1], choice->min_margin_nat);
  EXPECT_LT(0.1 + share * 0.2, 0.2);
  // Margins of three deviations are clear, those of a tenth of one are not.
  EXPECT_GT(choice->min_margin_nat, 0.05);
  EXPECT_LT(choice->min_margin_nat, 0.6);
}

TEST(RefinementChoice, AsksMoreWhereLessMayBeLost) {
  const std::vector<RefinementRung> rungs{rung(0.2, 0.005, 1), rung(0.1, 0.2, 2)};
  const auto strict = choose_refinement(rungs, 0.005);
  const auto loose = choose_refinement(rungs, 0.02);
  ASSERT_TRUE(strict && loose);
  EXPECT_GT(strict->min_margin_nat, loose->min_margin_nat);
}

TEST(RefinementChoice, TakesASecondCodecThatLosesNextToNothing) {
  const std::vector<RefinementRung> rungs{rung(0.4, 0.001, 1), rung(0.2, 0.03, 2), rung(0.1, 0.2, 3)};
  const auto strict = choose_refinement(rungs, 0.01);
  ASSERT_TRUE(strict);
  EXPECT_EQ(strict->second, 0U);
  const auto loose = choose_refinement(rungs, 0.05);
  ASSERT_TRUE(loose);
  EXPECT_EQ(loose->second, 1U);
}

TEST(RefinementChoice, GivesNothingWhereOneCodecIsEnoughOrNoneIs) {
  EXPECT_FALSE(choose_refinement({rung(0.2, 0.02, 1), rung(0.1, 0.01, 2)}, 0.05));
  EXPECT_FALSE(choose_refinement({rung(0.2, 2, 1), rung(0.1, 3, 2)}, 0.01));
  EXPECT_FALSE(choose_refinement({}, 0.01));
  EXPECT_FALSE(choose_refinement({rung(0.2, 1, 1)}, 0.01));
}

}  // namespace
}  // namespace splitnet::detail
