// SPDX-License-Identifier: Apache-2.0
#include "row_batch.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "arithmetic_model.hpp"

namespace splitnet::detail {
namespace {

using splitnet::testing::arithmetic_input;
using splitnet::testing::arithmetic::items_of;
using splitnet::testing::arithmetic::put_items;
using Values = std::vector<Value>;

Tensor channels_last(const std::vector<std::int64_t>& sizes, std::uint64_t seed) {
  Tensor tensor = arithmetic_input(sizes, seed);
  tensor.strides = {sizes[1] * sizes[2] * sizes[3], 1, sizes[1] * sizes[3], sizes[1]};
  return tensor;
}

/// What `function` makes of its inputs.
class FunctionStage : public Stage {
 public:
  explicit FunctionStage(std::function<Values(Values)> function) : function_(std::move(function)) {}
  const StageInfo& info() const noexcept override { return info_; }
  Values run(Values inputs) const override { return function_(std::move(inputs)); }
  void save(const std::string& /*path*/) const override {}

 private:
  const std::function<Values(Values)> function_;
  StageInfo info_;
};

/// Of the first input, element by element; `offset` may depend on all of them.
FunctionStage mapping(std::function<float(float, const std::vector<float>&)> map) {
  return FunctionStage([map = std::move(map)](const Values& inputs) -> Values {
    const auto all = items_of(inputs.front().tensor());
    auto items = all;
    for (float& item : items) item = map(item, all);
    const Tensor result = Tensor::empty(DType::f32, inputs.front().tensor().sizes);
    put_items(items, result);
    return {result};
  });
}

TEST(RowBatch, FindsTheRowsThatValuesHaveInCommon) {
  EXPECT_EQ(rows_of({arithmetic_input({3, 4}), arithmetic_input({3}), 5}), 3);
  EXPECT_EQ(rows_of({channels_last({2, 3, 4, 5}, 1)}), 2);
  EXPECT_EQ(rows_of({arithmetic_input({3, 4}), arithmetic_input({2, 4})}), std::nullopt);
  EXPECT_EQ(rows_of({}), std::nullopt);
  EXPECT_EQ(rows_of({5, "text"}), std::nullopt);
  EXPECT_EQ(rows_of({arithmetic_input({})}), std::nullopt);
  EXPECT_EQ(rows_of({arithmetic_input({2, 0})}), std::nullopt);
  EXPECT_EQ(rows_of({arithmetic_input({2, 4}), List{{arithmetic_input({2, 4})}}}), std::nullopt);
}

TEST(RowBatch, TakesNoRowsWithGapsRepeatsOrOverlaps) {
  Tensor gaps = arithmetic_input({2, 8});
  gaps.sizes = {2, 4};
  gaps.strides = {8, 2};
  EXPECT_EQ(rows_of({gaps}), std::nullopt);
  Tensor repeats = arithmetic_input({2, 4});
  repeats.strides = {4, 0};
  EXPECT_EQ(rows_of({repeats}), std::nullopt);
  Tensor both = arithmetic_input({1, 3, 3});
  both.strides = {9, 1, 3};
  EXPECT_EQ(rows_of({both}), 1);
  both.strides = {9, 2, 2};
  EXPECT_EQ(rows_of({both}), std::nullopt) << "as far apart as dense ones, and it is not";
  const Tensor tensor = arithmetic_input({2, 4});
  EXPECT_EQ(rows_of({tensor, tensor}), std::nullopt);
}

TEST(RowBatch, JoinsWhatDiffersInRowsOnly) {
  const Values first = {arithmetic_input({2, 4}), 7};
  EXPECT_TRUE(can_join(first, {arithmetic_input({5, 4}, 2), 7}));
  EXPECT_FALSE(can_join(first, {arithmetic_input({2, 4}), 8}));
  EXPECT_FALSE(can_join(first, {arithmetic_input({2, 5}), 7}));
  EXPECT_FALSE(can_join(first, {arithmetic_input({2, 4, 1}), 7}));
  EXPECT_FALSE(can_join(first, {arithmetic_input({2, 4})}));
  EXPECT_FALSE(can_join(first, {7, arithmetic_input({2, 4})}));
  EXPECT_FALSE(can_join({channels_last({1, 2, 3, 4}, 1)}, {arithmetic_input({1, 2, 3, 4})}));
  Tensor doubles = Tensor::empty(DType::f64, {2, 4});
  EXPECT_FALSE(can_join(first, {doubles, 7}));
}

TEST(RowBatch, GivesBackWhatWasJoined) {
  const std::vector<Values> parts = {{channels_last({1, 2, 3, 4}, 1), arithmetic_input({1, 5}, 4)},
                                     {channels_last({3, 2, 3, 4}, 2), arithmetic_input({3, 5}, 5)},
                                     {channels_last({2, 2, 3, 4}, 3), arithmetic_input({2, 5}, 6)}};
  const Values joined = join_rows(parts);
  EXPECT_EQ(joined[0].tensor().sizes, (std::vector<std::int64_t>{6, 2, 3, 4}));
  EXPECT_EQ(joined[0].tensor().strides, (std::vector<std::int64_t>{24, 1, 8, 2}));
  EXPECT_EQ(joined[1].tensor().strides, (std::vector<std::int64_t>{5, 1}));
  const auto split = split_rows(joined, {1, 3, 2});
  ASSERT_TRUE(split);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (std::size_t k = 0; k < 2; ++k) {
      const Tensor& tensor = (*split)[i][k].tensor();
      EXPECT_TRUE(bit_identical(tensor, parts[i][k].tensor()));
      EXPECT_EQ(tensor.strides, parts[i][k].tensor().strides);
      EXPECT_EQ(tensor.storage.owner().use_count(), 1) << "each caller has its own bytes";
    }
  }
}

TEST(RowBatch, SplitsWhatLiesInAnyOrder) {
  Tensor transposed = arithmetic_input({4, 3});
  std::swap(transposed.sizes[0], transposed.sizes[1]);
  std::swap(transposed.strides[0], transposed.strides[1]);
  const auto items = items_of(transposed);
  const auto split = split_rows({transposed}, {1, 2});
  ASSERT_TRUE(split);
  EXPECT_EQ(items_of((*split)[0][0].tensor()), std::vector<float>(items.begin(), items.begin() + 4));
  EXPECT_EQ(items_of((*split)[1][0].tensor()), std::vector<float>(items.begin() + 4, items.end()));
  EXPECT_FALSE(split_rows({transposed}, {1, 1}));
  EXPECT_FALSE(split_rows({7}, {1}));
}

bool is_independent(const FunctionStage& stage, double tolerance = 0, std::size_t max_rows = 8) {
  return rows_are_independent(stage, {arithmetic_input({1, 6})}, max_rows, tolerance);
}

TEST(RowsAreIndependent, WhenEachIsComputedByItself) {
  EXPECT_TRUE(is_independent(mapping([](float item, const auto&) { return item * 2 + 1; })));
  EXPECT_FALSE(is_independent(mapping([](float item, const auto&) { return item; }), 0, 1)) << "no two fit";
  EXPECT_TRUE(is_independent(FunctionStage([](Values inputs) { return inputs; })));
}

TEST(RowsAreIndependent, NotWhenTheyKnowOfOneAnother) {
  EXPECT_FALSE(
      is_independent(mapping([](float item, const auto& all) { return item + static_cast<float>(all.size()); })));
  EXPECT_FALSE(is_independent(mapping([](float item, const auto& all) { return item - all.front(); })));
  EXPECT_FALSE(is_independent(mapping([](float item, const auto& all) { return item - all.back(); })));
  EXPECT_FALSE(is_independent(FunctionStage([](Values inputs) -> Values { return {inputs[0].tensor().sizes[0]}; })));
  EXPECT_FALSE(is_independent(FunctionStage([](const Values&) -> Values { return {arithmetic_input({1, 4})}; })));
  EXPECT_FALSE(is_independent(FunctionStage([](Values inputs) -> Values {
    if (inputs[0].tensor().sizes[0] > 1) throw std::runtime_error("one row only");
    return inputs;
  })));
}

/// An example of nothing but ones must not make all rows alike.
TEST(RowsAreIndependent, IsTriedWithOtherElementsThanTheExamples) {
  const Tensor ones = Tensor::empty(DType::f32, {1, 6});
  put_items(std::vector<float>(6, 1), ones);
  const auto less_the_first = mapping([](float item, const auto& all) { return item - all.front(); });
  EXPECT_FALSE(rows_are_independent(less_the_first, {ones}, 8, 0));
}

TEST(RowsAreIndependent, WithinTheTolerance) {
  const auto nearly =
      mapping([](float item, const auto& all) { return item * (1 + 1e-6F * std::ceil(all.size() / 6.F)); });
  EXPECT_FALSE(is_independent(nearly));
  EXPECT_FALSE(is_independent(nearly, 1e-7));
  EXPECT_TRUE(is_independent(nearly, 1e-4));
  const auto sometimes_nan = mapping(
      [](float item, const auto& all) { return all.size() > 6 ? std::numeric_limits<float>::quiet_NaN() : item; });
  EXPECT_FALSE(is_independent(sometimes_nan, 1));
}

/// The last bit of a half is a thousandth, that of a bfloat a hundredth.
TEST(RowsAreIndependent, ForHalvesToo) {
  for (const auto& [dtype, fine, coarse] : {std::tuple{DType::f16, 1e-4, 2e-3}, std::tuple{DType::bf16, 1e-3, 2e-2}}) {
    const FunctionStage last_bit([](const Values& inputs) -> Values {
      auto values = join_rows({inputs});
      const Tensor& tensor = values[0].tensor();
      if (tensor.sizes[0] > 1) tensor.data()[0] ^= std::byte{1};
      return values;
    });
    Tensor example = Tensor::empty(dtype, {1, 4});
    const std::uint16_t one = dtype == DType::f16 ? 0x3C00 : 0x3F80;
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(example.data() + 2 * i, &one, 2);
    EXPECT_FALSE(rows_are_independent(last_bit, {example}, 4, 0));
    EXPECT_FALSE(rows_are_independent(last_bit, {example}, 4, fine));
    EXPECT_TRUE(rows_are_independent(last_bit, {example}, 4, coarse));
  }
}

TEST(RowsAreIndependent, IntegersMustBeEqual) {
  const FunctionStage count([](const Values& inputs) -> Values {
    Tensor rows = Tensor::empty(DType::i64, {inputs[0].tensor().sizes[0]});
    for (std::int64_t i = 0; i < rows.sizes[0]; ++i) reinterpret_cast<std::int64_t*>(rows.data())[i] = 1000 + i;
    return {rows};
  });
  EXPECT_FALSE(is_independent(count, 1));
}

}  // namespace
}  // namespace splitnet::detail
