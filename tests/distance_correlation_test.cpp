// SPDX-License-Identifier: Apache-2.0
#include "distance_correlation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace splitnet {
namespace {

using detail::distance_correlation;
using detail::distances_between;
using Examples = std::vector<std::vector<Value>>;

Value vector_of(const std::vector<float>& items) {
  Tensor tensor = Tensor::empty(DType::f32, {static_cast<std::int64_t>(items.size())});
  std::copy(items.begin(), items.end(), reinterpret_cast<float*>(tensor.data()));
  return tensor;
}

Examples vectors(const std::vector<std::vector<float>>& rows) {
  Examples examples;
  for (const auto& row : rows) examples.push_back({vector_of(row)});
  return examples;
}

Examples noise(std::size_t count, std::size_t width, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::vector<float>> rows(count, std::vector<float>(width));
  for (auto& row : rows) {
    for (float& item : row) item = static_cast<float>(random()) / 4294967296.0F - 0.5F;
  }
  return vectors(rows);
}

double correlation(const Examples& a, const Examples& b) {
  return distance_correlation(*distances_between(a), *distances_between(b));
}

/// The figure is that of the Python package dcor 0.7 (u_distance_correlation_sqr).
TEST(DistanceCorrelation, AgreesWithDcor) {
  const auto x = vectors({{0, 1}, {2, 0}, {1, 3}, {4, 4}, {5, 1}, {2, 2}});
  const auto y = vectors({{0}, {2}, {1}, {6}, {4}, {3}});
  EXPECT_NEAR(correlation(x, y), 0.6551293308733305, 1e-7);
}

TEST(DistanceCorrelation, IsOneWhereDistancesAreTheSameButForAFactor) {
  const auto x = vectors({{0, 1}, {2, 0}, {1, 3}, {4, 4}, {5, 1}});
  const auto turned = vectors({{3, 0}, {0, -6}, {9, -3}, {12, -12}, {3, -15}});  // 3·(y, −x).
  EXPECT_NEAR(correlation(x, x), 1, 1e-12);
  EXPECT_NEAR(correlation(x, turned), 1, 1e-6);
}

/// The plain estimate is above 0.9 here.
TEST(DistanceCorrelation, IsSmallForFewIndependentExamplesOfManyDimensions) {
  EXPECT_LT(std::abs(correlation(noise(24, 2000, 1), noise(24, 2000, 2))), 0.2);
}

TEST(DistanceCorrelation, OfAConstantIsZero) {
  EXPECT_EQ(correlation(noise(5, 3, 1), vectors({{1}, {1}, {1}, {1}, {1}})), 0);
}

TEST(Distances, CountCategoriesThatDifferAndLeaveOutWhatCannotBeCompared) {
  const auto tokens = [](const std::vector<std::int64_t>& items) {
    Tensor tensor = Tensor::empty(DType::i64, {static_cast<std::int64_t>(items.size())});
    std::copy(items.begin(), items.end(), reinterpret_cast<std::int64_t*>(tensor.data()));
    return Value(tensor);
  };
  Examples examples{{tokens({1, 2, 3}), 7}, {tokens({1, 900, 3}), 8}, {tokens({4, 5, 6}), 9}};
  const auto distances = distances_between(examples);
  ASSERT_TRUE(distances);
  EXPECT_NEAR((*distances)(0, 2) / (*distances)(0, 1), std::sqrt(3.0), 1e-12);
  EXPECT_EQ((*distances)(1, 1), 0);
  examples[1][0] = tokens({1});
  EXPECT_FALSE(distances_between(examples));
  for (auto& example : examples) example[0] = Tensor::empty(DType::f16, {3});
  EXPECT_FALSE(distances_between(examples));
}

TEST(Distances, CountSeveralTensorsAlike) {
  Examples both;
  const auto small = noise(6, 4, 1);
  const auto large = noise(6, 40, 2);
  Examples scaled;
  for (std::size_t i = 0; i < 6; ++i) {
    both.push_back({small[i][0], large[i][0]});
    std::vector<float> items;
    const auto* from = reinterpret_cast<const float*>(large[i][0].tensor().data());
    for (std::size_t k = 0; k < 40; ++k) items.push_back(1000 * from[k]);
    scaled.push_back({small[i][0], vector_of(items)});
  }
  const auto a = distances_between(both);
  const auto b = distances_between(scaled);
  for (std::size_t i = 1; i < 6; ++i) EXPECT_NEAR((*a)(0, i), (*b)(0, i), 1e-5);
  EXPECT_LT(correlation(small, both), 0.999) << "both count";
  EXPECT_LT(correlation(large, both), 0.999) << "both count";
}

}  // namespace
}  // namespace splitnet
