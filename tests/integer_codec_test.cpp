// SPDX-License-Identifier: Apache-2.0
#include "integer_codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "codec_samples.hpp"

namespace splitnet {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

std::vector<std::byte> encoded(unsigned bits, const std::string& parameters, const Tensor& tensor) {
  return coded_bytes(*detail::make_integer_codec(bits, parameters), tensor);
}

/// Of all elements, 0 among them.
double range_of(const std::vector<float>& elements) {
  double low = 0;
  double high = 0;
  for (const float element : elements) {
    low = std::min<double>(low, element);
    high = std::max<double>(high, element);
  }
  return high - low;
}

TEST(IntegerCodec, ErrsByHalfAStepAtMost) {
  for (unsigned bits = 2; bits <= 8; ++bits) {
    for (const auto& [name, tensor] : finite_samples()) {
      const auto expected = elements_of(tensor);
      const auto codec = detail::make_integer_codec(bits, "");
      const auto found = elements_of(decoded_from(*codec, encoded(bits, "", tensor), tensor));
      const double step = range_of(expected) / ((1U << bits) - 1) * (1 + 1.0 / 128) + 0x1p-126;  // Rounded up.
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_LE(std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])), 0.501 * step)
            << bits << ' ' << name << ' ' << expected[i];
      }
    }
  }
}

TEST(IntegerCodec, TakesSoManyBitsForEachElementAndThreeBytesForEachChannel) {
  const Tensor map = tensor_of(random_floats(6 * 80), {1, 6, 8, 10});
  for (unsigned bits = 2; bits <= 8; ++bits) {
    EXPECT_EQ(encoded(bits, "", map).size(), 480U * bits / 8 + 3 + 1);
    EXPECT_EQ(encoded(bits, "per=channel", map).size(), 480U * bits / 8 + 3 * 6 + 1);
  }
  EXPECT_EQ(encoded(3, "", tensor_of(random_floats(9), {9})).size(), 2U * 3 + 3 + 1);
}

TEST(IntegerCodec, KeepsZeroExactly) {
  const Tensor tensor = tensor_of({-0.37F, 0, 1.91F, 0, 0.5F, 0, 0, 0}, {1, 8});
  for (unsigned bits = 2; bits <= 8; ++bits) {
    const auto codec = detail::make_integer_codec(bits, "");
    const Tensor back = decoded_from(*codec, coded_bytes(*codec, tensor), tensor);
    for (const std::size_t i : {1, 3, 5, 6, 7}) EXPECT_EQ(item(back, i), 0.0F) << bits;
  }
}

/// Channels of different sizes: with a range of its own each is as precise as the others.
TEST(IntegerCodec, HasARangeForEachChannelWhereverItLies) {
  const auto check = [](std::vector<std::int64_t> sizes, std::vector<std::int64_t> strides, std::size_t channel_at) {
    auto numbers = random_floats(48);
    Tensor tensor = tensor_of(numbers, sizes, strides);
    const auto channels = static_cast<std::size_t>(sizes[channel_at]);
    const auto step = static_cast<std::size_t>(tensor.strides[channel_at]);
    auto* const elements = reinterpret_cast<float*>(tensor.data());
    const auto channel_of = [&](std::size_t i) { return i / step % channels; };
    for (std::size_t i = 0; i < numbers.size(); ++i) elements[i] *= std::pow(10.0F, static_cast<float>(channel_of(i)));
    const auto codec = detail::make_integer_codec(8, "per=channel");
    const Tensor back = decoded_from(*codec, coded_bytes(*codec, tensor), tensor);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      EXPECT_NEAR(item(back, i), elements[i], 0.02 * std::pow(10.0, static_cast<double>(channel_of(i)))) << i;
    }
  };
  check({2, 4, 2, 3}, {}, 1);
  check({2, 4, 2, 3}, {24, 1, 12, 4}, 1);  // Channels last.
  check({2, 6, 4}, {}, 2);                 // Tokens.
  check({12, 4}, {}, 1);                   // Vectors.
}

TEST(IntegerCodec, EveryWidthPacksEverySymbol) {
  for (unsigned bits = 2; bits <= 8; ++bits) {
    std::vector<float> levels;
    for (unsigned i = 0; i < 1000; ++i) levels.push_back(static_cast<float>(i * 7 % (1U << bits)));
    levels[0] = static_cast<float>((1U << bits) - 1);
    const Tensor tensor = tensor_of(levels, {1000});
    const auto codec = detail::make_integer_codec(bits, "");
    EXPECT_EQ(elements_of(decoded_from(*codec, coded_bytes(*codec, tensor), tensor)), levels) << bits;
  }
}

}  // namespace
}  // namespace splitnet
