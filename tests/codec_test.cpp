// SPDX-License-Identifier: Apache-2.0
#include "splitnet/codec.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using testing::throws;

constexpr float infinity = std::numeric_limits<float>::infinity();
const std::string pictures = "u8:mean=0.485,0.456,0.406;std=0.229,0.224,0.225";

Tensor tensor_of(const std::vector<float>& items, std::vector<std::int64_t> sizes,
                 std::vector<std::int64_t> strides = {}) {
  Tensor tensor = Tensor::empty(DType::f32, {static_cast<std::int64_t>(items.size())});
  std::memcpy(tensor.data(), items.data(), items.size() * sizeof(float));
  tensor.strides = strides.empty() ? contiguous_strides(sizes) : std::move(strides);
  tensor.sizes = std::move(sizes);
  tensor.validate();
  return tensor;
}

float item(const Tensor& tensor, std::int64_t index) {
  float number = 0;
  std::memcpy(&number, tensor.data() + static_cast<std::size_t>(index) * sizeof(float), sizeof number);
  return number;
}

std::vector<float> random_floats(std::size_t count, float scale = 1) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

/// There and back.
Tensor through(const std::string& codec, const Tensor& tensor) {
  const auto made = CodecRegistry::with_defaults().make(codec);
  return made->decode(made->encode(tensor));
}
float through_half(float number) {
  return item(through("f16", tensor_of({number}, {1})), 0);
}

// ---- f16.

TEST(HalfCodec, RoundsToNearestWithTiesToEven) {
  const float ulp = std::ldexp(1.0F, -10);  // Of half precision at 1.
  EXPECT_EQ(through_half(1 + ulp / 2), 1.0F);
  EXPECT_EQ(through_half(1 + 3 * ulp / 2), 1 + 2 * ulp);
  EXPECT_EQ(through_half(1 + 0.51F * ulp), 1 + ulp);
  EXPECT_EQ(through_half(-0.1F), -0.0999755859375F);
  EXPECT_EQ(through_half(65504), 65504.0F);
  EXPECT_EQ(through_half(65519.996F), 65504.0F);
  EXPECT_EQ(through_half(65520), infinity);
  EXPECT_EQ(through_half(-1e30F), -infinity);
}

TEST(HalfCodec, KeepsSpecialNumbersApart) {
  EXPECT_EQ(through_half(infinity), infinity);
  EXPECT_EQ(through_half(-infinity), -infinity);
  EXPECT_TRUE(std::isnan(through_half(std::nanf(""))));
  EXPECT_TRUE(std::signbit(through_half(-0.0F)));
  const float smallest = std::ldexp(1.0F, -24);
  EXPECT_EQ(through_half(smallest), smallest);
  EXPECT_EQ(through_half(smallest / 2), 0.0F);  // A tie, to even.
  EXPECT_EQ(through_half(smallest * 1.5F), 2 * smallest);
  EXPECT_EQ(through_half(std::numeric_limits<float>::denorm_min()), 0.0F);
}

/// All 65,536 halves: each decodes to a float that encodes to it again.
TEST(HalfCodec, EveryHalfComesBack) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  Tensor halves = Tensor::empty(DType::f16, {65536});
  for (unsigned i = 0; i < 65536; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    std::memcpy(halves.data() + 2 * i, &half, 2);
  }
  const Tensor floats = codec->decode(halves);
  const Tensor again = codec->encode(floats).tensor();
  for (unsigned i = 0; i < 65536; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, again.data() + 2 * i, 2);
    if (std::isnan(item(floats, i))) {
      EXPECT_EQ(half & 0x7C00U, 0x7C00U);
      EXPECT_NE(half & 0x03FFU, 0U);
    } else {
      EXPECT_EQ(half, i);
    }
  }
}

TEST(HalfCodec, ErrsByHalfAUnitAtMostAndHalvesTheBytes) {
  const auto numbers = random_floats(1001, 30);
  const Tensor tensor = tensor_of(numbers, {7, 11, 13});
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Value coded = codec->encode(tensor);
  EXPECT_EQ(coded.tensor().packed_bytes() * 2, tensor.packed_bytes());
  const Tensor back = codec->decode(coded);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_NEAR(item(back, static_cast<std::int64_t>(i)), numbers[i], std::abs(numbers[i]) * std::ldexp(1.0F, -11));
  }
}

TEST(HalfCodec, KeepsStridesAndTakesWhatHasFewGaps) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Tensor channels_last = tensor_of(random_floats(24), {1, 3, 2, 4}, {24, 1, 12, 3});
  ASSERT_TRUE(codec->takes(channels_last));
  EXPECT_EQ(codec->decode(codec->encode(channels_last)).strides, channels_last.strides);
  const Tensor every_second = tensor_of(random_floats(24), {12}, {2});
  ASSERT_TRUE(codec->takes(every_second));
  const Tensor back = codec->decode(codec->encode(every_second));
  EXPECT_EQ(back.strides, every_second.strides);
  EXPECT_NEAR(item(back, 22), item(every_second, 22), 1e-2);
  EXPECT_FALSE(codec->takes(tensor_of(random_floats(100), {2}, {99})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f64, {2})));
  const Tensor nothing = Tensor::empty(DType::f32, {0, 3});
  EXPECT_EQ(codec->decode(codec->encode(nothing)).sizes, nothing.sizes);
}

TEST(HalfCodec, RefusesWhatItNeverGives) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  EXPECT_TRUE(throws(ErrorCode::corrupt, "tensor of f16", [&] { (void)codec->decode(tensor_of({1}, {1})); }));
  EXPECT_TRUE(throws(ErrorCode::corrupt, "tensor of f16", [&] { (void)codec->decode(Value(None{})); }));
}

// ---- u8.

TEST(PixelCodec, GivesPicturesBackAsTheyWere) {
  const float mean[] = {0.485F, 0.456F, 0.406F};
  const float deviation[] = {0.229F, 0.224F, 0.225F};
  std::vector<float> items;
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (int level = 0; level < 256; ++level) {
      items.push_back((static_cast<float>(level) / 255.0F - mean[channel]) / deviation[channel]);
    }
  }
  const Tensor picture = tensor_of(items, {1, 3, 16, 16});
  const auto codec = CodecRegistry::with_defaults().make(pictures);
  const Value coded = codec->encode(picture);
  for (std::size_t i = 0; i < items.size(); ++i) {
    ASSERT_EQ(std::to_integer<std::size_t>(coded.tensor().data()[i]), i % 256);
  }
  EXPECT_TRUE(bit_identical(codec->decode(coded), picture));
}

TEST(PixelCodec, ReadsChannelsWhereverTheyLie) {
  const auto numbers = random_floats(24);
  const Tensor last = tensor_of(numbers, {1, 3, 2, 4}, {24, 1, 12, 3});
  Tensor first = Tensor::empty(DType::f32, {1, 3, 2, 4});
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t i = 0; i < 8; ++i) {
      std::memcpy(first.data() + static_cast<std::size_t>(c * 8 + i) * 4, last.data() + (i * 3 + c) * 4, 4);
    }
  }
  const Tensor a = through(pictures, last);
  const Tensor b = through(pictures, first);
  EXPECT_EQ(a.strides, last.strides);
  EXPECT_TRUE(bit_identical(a, b));
}

TEST(PixelCodec, ClampsWhatIsNoPicture) {
  const Tensor back =
      through("u8:mean=0;std=1", tensor_of({-3, 0.5F, 7, infinity, -infinity, std::nanf("")}, {1, 2, 3}));
  const std::vector<float> expected{0, 128 / 255.0F, 1, 1, 0, 1};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(item(back, static_cast<std::int64_t>(i)), expected[i]);
}

TEST(PixelCodec, TakesPicturesOnly) {
  const auto codec = CodecRegistry::with_defaults().make(pictures);
  EXPECT_TRUE(codec->takes(Tensor::empty(DType::f32, {2, 3, 8, 8})));
  EXPECT_TRUE(codec->takes(Tensor::empty(DType::f32, {3, 8, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 4, 8, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {3, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::i64, {3, 8, 8})));
  EXPECT_TRUE(throws(ErrorCode::corrupt, "tensor of u8", [&] {
    (void)codec->decode(Value(Tensor::empty(DType::u8, {1, 4, 2, 2})));
  }));
}

TEST(PixelCodec, ChecksItsParameters) {
  const auto registry = CodecRegistry::with_defaults();
  for (const char* wrong :
       {"u8", "u8:", "u8:mean=1", "u8:mean=1;std=", "u8:mean=1;std=0", "u8:mean=1;std=-1", "u8:mean=1,2;std=1",
        "u8:std=1;mean=1", "u8:mean=nan;std=1", "u8:mean=1;std=inf", "u8:mean=1x;std=1", "f16:fast"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "codec", [&] { (void)registry.make(wrong); })) << wrong;
  }
}

// ---- Registry and values.

TEST(CodecRegistry, NamesWhatItKnows) {
  auto registry = CodecRegistry::with_defaults();
  EXPECT_EQ(registry.make("raw"), nullptr);
  EXPECT_EQ(registry.names(), (std::vector<std::string>{"f16", "raw", "u8"}));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "unknown codec 'zip'; expected one of: f16, raw, u8",
                     [&] { (void)registry.make("zip:9"); }));
  registry.add("zip", [&](const std::string& parameters) {
    EXPECT_EQ(parameters, "9");
    return registry.make("f16");
  });
  EXPECT_NE(registry.make("zip:9"), nullptr);
  const auto none = [](const std::string&) { return nullptr; };
  for (const char* wrong : {"", "raw", "a:b"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "name", [&] { registry.add(wrong, none); }));
  }
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "empty", [&] { registry.add("a", {}); }));
  registry.add("a", none);
  EXPECT_TRUE(throws(ErrorCode::internal, "gave none", [&] { (void)registry.make("a"); }));
}

TEST(CodedValues, ComeBackInOrderWithWhatIsNotCoded) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Tensor halves = tensor_of({0.5F, -2}, {2});
  const std::vector<Value> values{halves, std::int64_t{5}, List{{halves}}, Tensor::empty(DType::i64, {0}), None{}};
  const auto back = decode_values(*codec, encode_values(*codec, values));
  ASSERT_EQ(back.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(back[i], values[i])) << i;
}

/// A later stage may write through one view and read through the other.
TEST(CodedValues, LeaveTensorsThatShareAStorageAlone) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  const Tensor whole = tensor_of({0.1F, 0.2F, 0.3F, 0.4F}, {4});
  Tensor half = whole;
  half.sizes = {2};
  const auto coded = encode_values(*codec, {whole, half, tensor_of({0.1F}, {1})});
  const auto is_coded = [&](std::size_t i) { return *coded[i].get_if<Tuple>()->items[0].get_if<bool>(); };
  EXPECT_FALSE(is_coded(0));
  EXPECT_FALSE(is_coded(1));
  EXPECT_TRUE(is_coded(2));
}

TEST(CodedValues, CannotBeMadeToTakeMoreThanAllowed) {
  const auto half = CodecRegistry::with_defaults().make("f16");
  const auto coded = [](Tensor tensor) { return Value(Tuple{{true, std::move(tensor)}}); };
  const Tensor some = Tensor::empty(DType::f16, {1000});
  EXPECT_EQ(decode_values(*half, {coded(some)}, 4000).size(), 1U);
  EXPECT_TRUE(throws(ErrorCode::too_large, "more than 3999", [&] { (void)decode_values(*half, {coded(some)}, 3999); }));
  EXPECT_TRUE(throws(ErrorCode::corrupt, "shares its storage", [&] {
    (void)decode_values(*half, {coded(some), coded(some)});
  }));
  Tensor gaps = some;
  gaps.sizes = {2};
  gaps.strides = {999};
  EXPECT_TRUE(throws(ErrorCode::corrupt, "codec f16", [&] { (void)decode_values(*half, {coded(gaps)}); }));
  const auto pixels = CodecRegistry::with_defaults().make("u8:mean=0;std=1");
  Tensor expanded = Tensor::empty(DType::u8, {1, 1, 1});
  expanded.sizes = {std::int64_t{1} << 40, 1, 1};
  expanded.strides = {0, 1, 1};
  EXPECT_EQ(decode_values(*pixels, {coded(expanded)}).size(), 1U);  // At once: one element, however often.
}

TEST(CodedValues, AreChecked) {
  const auto codec = CodecRegistry::with_defaults().make("f16");
  for (const Value& wrong : {Value(1), Value(Tuple{}), Value(Tuple{{true}}), Value(Tuple{{1, 2}}),
                             Value(Tuple{{true, None{}}}), Value(List{{false, 1}})}) {
    EXPECT_TRUE(throws(ErrorCode::corrupt, "expected", [&] { (void)decode_values(*codec, {wrong}); }));
  }
}

}  // namespace
}  // namespace splitnet
