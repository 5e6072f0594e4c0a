// SPDX-License-Identifier: Apache-2.0
#include "splitnet/value.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "error_of.hpp"

namespace splitnet {

struct Celsius {
  double degrees = 0;
};
template <>
struct ValueTraits<Celsius> {
  static Value make(const Celsius& value) { return value.degrees; }
};

namespace {

using testing::throws;

std::vector<Value> one_of_each() {
  return {None{},
          Uninitialized{},
          true,
          3,
          2.5,
          std::complex<double>(1, 2),
          "text",
          Tensor::empty(DType::f32, {0, 2}),
          List{{1, 2}},
          Tuple{{1}},
          Dict{{{"k", 1}}}};
}

TEST(Value, EveryKindHasItsName) {
  const std::vector<std::string> names = {"none",   "uninitialized", "bool", "integer", "float", "complex",
                                          "string", "tensor",        "list", "tuple",   "dict"};
  const auto values = one_of_each();
  ASSERT_EQ(values.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(kind_name(values[i]), names[i]);
}

TEST(Value, BitIdenticalIsEqualityOfKindAndContents) {
  const auto a = one_of_each();
  const auto b = one_of_each();
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.size(); ++j) EXPECT_EQ(bit_identical(a[i], b[j]), i == j) << i << " " << j;
  }
  EXPECT_FALSE(bit_identical(List{{1, 2}}, List{{1}}));
  EXPECT_FALSE(bit_identical(Dict{{{"a", 1}, {"b", 2}}}, Dict{{{"b", 2}, {"a", 1}}})) << "order counts";
}

TEST(Value, BitIdenticalComparesFloatsBitByBit) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(bit_identical(Value(nan), Value(nan)));
  EXPECT_FALSE(bit_identical(Value(0.0), Value(-0.0)));
  EXPECT_TRUE(bit_identical(Value(std::complex<double>(nan, 0)), Value(std::complex<double>(nan, 0))));
}

TEST(Value, AccessorsNameWhatIsHeldInstead) {
  EXPECT_EQ(Value(7).integer(), 7);
  EXPECT_EQ(Value("a").string(), "a");
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "kind tensor, found integer 7", [] { (void)Value(7).tensor(); }));
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "kind integer, found bool true", [] { (void)Value(true).integer(); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "list of 2", [] { (void)Value(List{{1, 2}}).string(); }));
}

TEST(Value, DescriptionsAreShort) {
  EXPECT_EQ(describe(Tensor::empty(DType::f32, {1, 3, 224, 224})), "tensor f32[1, 3, 224, 224]");
  EXPECT_EQ(describe(List{{1, 2, 3}}), "list of 3");
  EXPECT_EQ(describe(None{}), "none");
  EXPECT_EQ(describe("secret"), "string of 6 bytes");
}

TEST(Value, OtherTypesConvertThroughTraits) {
  EXPECT_EQ(*Value(Celsius{36.6}).get_if<double>(), 36.6);
}

TEST(Value, TensorsAreVisitedInOrder) {
  const auto tensor = [](std::int64_t size) { return Tensor::empty(DType::u8, {size}); };
  const Value value = Tuple{{tensor(1), List{{tensor(2), 5}}, Dict{{{"k", tensor(3)}}}, tensor(4)}};
  std::vector<std::int64_t> sizes;
  for_each_tensor(value, [&](const Tensor& t) { sizes.push_back(t.sizes[0]); });
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST(Value, PackedBytesAreThoseOfAllTensorsInside) {
  Tensor every_second = Tensor::empty(DType::f32, {8});
  every_second.sizes = {4};
  every_second.strides = {2};
  const Value inside = List{{every_second, 5, Tuple{{Tensor::empty(DType::u8, {3})}}}};
  EXPECT_EQ(packed_bytes({inside, Value(Tensor::empty(DType::f64, {2})), Value("text")}), 16U + 3U + 16U);
  EXPECT_EQ(packed_bytes({}), 0U);
}

TEST(Value, CopiesShareTensorBytes) {
  const Value value = Tensor::empty(DType::u8, {4});
  const Value copy = value;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(copy.tensor().data(), value.tensor().data());
}

}  // namespace
}  // namespace splitnet
