// SPDX-License-Identifier: Apache-2.0
#include "own_bytes.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace splitnet::detail {
namespace {

Tensor foreign(DType dtype, std::int64_t elements) {
  Tensor tensor = Tensor::empty(dtype, {elements});
  std::memset(tensor.data(), 1, tensor.packed_bytes());
  tensor.storage = Storage::adopt_foreign(tensor.storage.data(), tensor.storage.size_bytes(), tensor.storage.owner());
  return tensor;
}

TEST(OwnBytes, CopiesWhatIsForeignWhereverItIs) {
  const Tensor mine = Tensor::empty(DType::f32, {10});
  std::vector<Value> values{foreign(DType::f32, 10), mine, List{{Value(foreign(DType::u8, 5)), Value(1)}},
                            Dict{{{Value("key"), Value(foreign(DType::i64, 3))}}}};
  const std::vector<Value> before = values;
  own_bytes(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(bit_identical(values[i], before[i]));
    for_each_tensor(values[i], [](const Tensor& tensor) { EXPECT_FALSE(tensor.storage.is_foreign()); });
  }
  EXPECT_EQ(values[1].tensor().storage, mine.storage);
  EXPECT_TRUE(before[0].tensor().storage.is_foreign()) << "other handles stay as they were";
}

TEST(OwnBytes, KeepsViewsTogetherAndWhereTheyAre) {
  Tensor first = foreign(DType::f32, 100);
  Tensor second = first;
  second.offset_bytes = 40;
  second.sizes = {2, 5};
  second.strides = {20, 2};
  std::vector<Value> values{first, second};
  own_bytes(values);
  EXPECT_EQ(values[0].tensor().storage, values[1].tensor().storage);
  EXPECT_NE(values[0].tensor().storage, first.storage);
  EXPECT_EQ(values[1].tensor().offset_bytes, 40U);
  EXPECT_EQ(values[1].tensor().strides, second.strides);
}

TEST(OwnBytes, OfIntegersLeavesFloatingPointWhereItIs) {
  std::vector<Value> values;
  for (const auto dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) values.emplace_back(foreign(dtype, 4));
  for (const auto dtype : {DType::u8, DType::i8, DType::i16, DType::i32, DType::i64, DType::boolean}) {
    values.emplace_back(foreign(dtype, 4));
  }
  own_integers(values);
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i].tensor().storage.is_foreign(), i < 4) << i;
}

}  // namespace
}  // namespace splitnet::detail
