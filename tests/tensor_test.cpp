// SPDX-License-Identifier: Apache-2.0
#include "splitnet/tensor.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::throws;

TEST(DType, SizesAndNames) {
  std::set<std::string_view> names;
  for (unsigned number = 1; number <= 10; ++number) names.insert(to_string(static_cast<DType>(number)));
  EXPECT_EQ(names.size(), 10U);
  EXPECT_FALSE(is_dtype(0));
  EXPECT_TRUE(is_dtype(10));
  EXPECT_FALSE(is_dtype(11));
  EXPECT_EQ(size_bytes(DType::bf16), 2U);
  EXPECT_EQ(size_bytes(DType::f64), 8U);
  EXPECT_EQ(size_bytes(DType::boolean), 1U);
}

TEST(Storage, IsAlignedAlsoWhenEmpty) {
  for (const std::size_t bytes : {0U, 1U, 63U, 1000U}) {
    const auto storage = Storage::allocate(bytes);
    EXPECT_EQ(storage.size_bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(storage.data()) % tensor_alignment_bytes, 0U);
    EXPECT_EQ(storage.owner().use_count(), 1);
  }
}

TEST(Storage, CopiesShareBytesAndTheLastOneFreesThem) {
  bool freed = false;
  std::byte bytes[4] = {};
  {
    Storage copy;
    {
      const auto storage =
          Storage::adopt(bytes, sizeof(bytes), std::shared_ptr<void>(bytes, [&](void*) { freed = true; }));
      copy = storage;
      EXPECT_EQ(copy, storage);
      EXPECT_EQ(copy.owner().use_count(), 2);
    }
    EXPECT_FALSE(freed);
  }
  EXPECT_TRUE(freed);
}

TEST(Storage, SlicesKeepTheOwnerAndWhoseBytesTheyAre) {
  const auto mine = Storage::allocate(100);
  EXPECT_FALSE(mine.is_foreign());
  const auto lent = Storage::adopt_foreign(mine.data(), mine.size_bytes(), mine.owner());
  EXPECT_TRUE(lent.is_foreign());
  for (const auto& whole : {mine, lent}) {
    const auto part = whole.slice(30, 20);
    EXPECT_EQ(part.data(), mine.data() + 30);
    EXPECT_EQ(part.size_bytes(), 20U);
    EXPECT_EQ(part.owner(), mine.owner());
    EXPECT_EQ(part.is_foreign(), whole.is_foreign());
  }
}

TEST(Tensor, EmptyIsContiguous) {
  const auto tensor = Tensor::empty(DType::f32, {2, 3, 4});
  EXPECT_EQ(tensor.strides, (std::vector<std::int64_t>{12, 4, 1}));
  EXPECT_EQ(tensor.element_count(), 24);
  EXPECT_EQ(tensor.packed_bytes(), 96U);
  EXPECT_EQ(tensor.span_bytes(), 96U);
  EXPECT_TRUE(tensor.is_contiguous());
  tensor.validate();
}

TEST(Tensor, ScalarsHaveOneElementAndEmptyOnesNone) {
  const auto scalar = Tensor::empty(DType::i64, {});
  EXPECT_EQ(scalar.element_count(), 1);
  EXPECT_EQ(scalar.span_bytes(), 8U);
  const auto none = Tensor::empty(DType::i64, {3, 0, 2});
  EXPECT_EQ(none.element_count(), 0);
  EXPECT_EQ(none.span_bytes(), 0U);
  EXPECT_TRUE(none.is_contiguous());
  none.validate();
}

TEST(Tensor, EmptyRefusesWhatCannotBe) {
  const auto refuses = [](std::vector<std::int64_t> sizes) {
    return throws(ErrorCode::invalid_argument, "tensor f32[", [&] { (void)Tensor::empty(DType::f32, sizes); });
  };
  EXPECT_TRUE(refuses({-1}));
  EXPECT_TRUE(refuses({INT64_MAX}));
  EXPECT_TRUE(refuses({std::int64_t{1} << 32, std::int64_t{1} << 32}));
  EXPECT_TRUE(refuses({std::int64_t{1} << 40, 0, std::int64_t{1} << 40}));
}

TEST(Tensor, SpanOfViews) {
  auto view = Tensor::empty(DType::f32, {10, 10});
  view.sizes = {3, 2};
  view.strides = {20, 3};
  EXPECT_EQ(view.span_bytes(), (2 * 20 + 3 + 1) * 4U);
  EXPECT_EQ(view.packed_bytes(), 24U);
  EXPECT_FALSE(view.is_contiguous());
  view.strides = {0, 1};
  EXPECT_EQ(view.span_bytes(), 8U);
}

TEST(Tensor, StridesOfOneElementDoNotMatterForContiguity) {
  auto tensor = Tensor::empty(DType::f32, {1, 4});
  tensor.strides = {77, 1};
  EXPECT_TRUE(tensor.is_contiguous());
  tensor.validate();
}

TEST(Tensor, ValidateNamesWhatIsWrong) {
  const auto wrong = [](const char* words, auto&& change) {
    auto tensor = Tensor::empty(DType::f32, {2, 3});
    change(tensor);
    return throws(ErrorCode::invalid_argument, words, [&] { tensor.validate(); });
  };
  EXPECT_TRUE(wrong("1 strides, expected 2", [](Tensor& t) { t.strides = {1}; }));
  EXPECT_TRUE(wrong("size 1 is negative", [](Tensor& t) { t.sizes[1] = -3; }));
  EXPECT_TRUE(wrong("stride 0 is negative", [](Tensor& t) { t.strides[0] = -3; }));
  EXPECT_TRUE(wrong("24 bytes from byte 4, but its storage has 24", [](Tensor& t) { t.offset_bytes = 4; }));
  EXPECT_TRUE(wrong("from byte", [](Tensor& t) { t.offset_bytes = ~std::size_t{0}; }));
  EXPECT_TRUE(wrong("reach beyond 63 bits", [](Tensor& t) { t.strides = {INT64_MAX, INT64_MAX}; }));
  EXPECT_TRUE(wrong("dtype", [](Tensor& t) { t.dtype = static_cast<DType>(99); }));
}

Tensor transposed(const Tensor& tensor) {
  auto result = tensor;
  std::swap(result.sizes[0], result.sizes[1]);
  std::swap(result.strides[0], result.strides[1]);
  return result;
}

TEST(Tensor, BitIdenticalLooksAtElementsNotStrides) {
  const auto a = Tensor::empty(DType::u8, {3, 5});
  const auto b = Tensor::empty(DType::u8, {5, 3});
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 5; ++j) {
      a.data()[i * 5 + j] = b.data()[j * 3 + i] = static_cast<std::byte>(i * 16 + j);
    }
  }
  EXPECT_TRUE(bit_identical(a, transposed(b)));
  EXPECT_TRUE(bit_identical(transposed(a), b));
  EXPECT_FALSE(bit_identical(a, b));
  b.data()[14] ^= std::byte{1};
  EXPECT_FALSE(bit_identical(a, transposed(b)));
}

TEST(Tensor, BitIdenticalTellsZerosApartAndNanEqualsItself) {
  const auto a = Tensor::empty(DType::f32, {2});
  const auto b = Tensor::empty(DType::f32, {2});
  const std::uint32_t bits[] = {0x7FC00001, 0x80000000};
  std::memcpy(a.data(), bits, 8);
  std::memcpy(b.data(), bits, 8);
  EXPECT_TRUE(bit_identical(a, b));
  std::memset(b.data() + 4, 0, 4);
  EXPECT_FALSE(bit_identical(a, b));
  auto other_dtype = a;
  other_dtype.dtype = DType::i32;
  EXPECT_FALSE(bit_identical(a, other_dtype));
}

TEST(Tensor, BitIdenticalOfExpandedAndEmptyTensors) {
  auto expanded = Tensor::empty(DType::u8, {1});
  expanded.data()[0] = std::byte{7};
  expanded.sizes = {4, 3};
  expanded.strides = {0, 0};
  const auto full = Tensor::empty(DType::u8, {4, 3});
  std::memset(full.data(), 7, 12);
  EXPECT_TRUE(bit_identical(expanded, full));
  full.data()[11] = std::byte{8};
  EXPECT_FALSE(bit_identical(expanded, full));
  EXPECT_TRUE(bit_identical(Tensor::empty(DType::u8, {0}), Tensor::empty(DType::u8, {0})));
}

}  // namespace
}  // namespace splitnet
