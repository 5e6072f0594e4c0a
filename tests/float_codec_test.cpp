// SPDX-License-Identifier: Apache-2.0
#include "float_codec.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "codec_samples.hpp"

namespace splitnet {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

float through_half(float number) {
  const auto codec = detail::make_half_codec("");
  const Tensor tensor = tensor_of({number}, {1});
  return item(decoded_from(*codec, coded_bytes(*codec, tensor), tensor), 0);
}
float through_bfloat(float number) {
  const auto codec = detail::make_bfloat_codec("");
  const Tensor tensor = tensor_of({number}, {1});
  return item(decoded_from(*codec, coded_bytes(*codec, tensor), tensor), 0);
}

TEST(HalfCodec, RoundsToNearestWithTiesToEven) {
  const float ulp = std::ldexp(1.0F, -10);  // Of half precision at 1.
  EXPECT_EQ(through_half(1 + ulp / 2), 1.0F);
  EXPECT_EQ(through_half(1 + 3 * ulp / 2), 1 + 2 * ulp);
  EXPECT_EQ(through_half(1 + 0.51F * ulp), 1 + ulp);
  EXPECT_EQ(through_half(-0.1F), -0.0999755859375F);
  EXPECT_EQ(through_half(65504), 65504.0F);
  EXPECT_EQ(through_half(65519.996F), 65504.0F);
  EXPECT_TRUE(std::signbit(through_half(-0.0F)));
}

TEST(HalfCodec, HasSubnormals) {
  const float smallest = std::ldexp(1.0F, -24);
  EXPECT_EQ(through_half(smallest), smallest);
  EXPECT_EQ(through_half(smallest / 2), 0.0F);  // A tie, to even.
  EXPECT_EQ(through_half(smallest * 1.5F), 2 * smallest);
  EXPECT_EQ(through_half(std::numeric_limits<float>::denorm_min()), 0.0F);
}

/// Not infinity: every bit is kept.
TEST(HalfCodec, KeepsWhatIsTooLargeAsItIs) {
  EXPECT_EQ(through_half(65520), 65520.0F);
  EXPECT_EQ(through_half(-1e30F), -1e30F);
  EXPECT_EQ(through_half(-infinity), -infinity);
}

/// All finite halves: each decodes to a float that encodes to it again.
TEST(HalfCodec, EveryHalfComesBack) {
  const auto codec = detail::make_half_codec("");
  std::vector<std::byte> halves;
  for (unsigned half = 0; half < 65536; ++half) {
    if ((half & 0x7C00U) == 0x7C00U) continue;
    halves.push_back(static_cast<std::byte>(half & 255U));
    halves.push_back(static_cast<std::byte>(half >> 8U));
  }
  const auto count = static_cast<std::int64_t>(halves.size() / 2);
  halves.push_back(std::byte{0});
  const Tensor floats = decoded_from(*codec, halves, tensor_of(std::vector<float>(halves.size() / 2), {count}));
  EXPECT_EQ(coded_bytes(*codec, floats), halves);
}

TEST(HalfCodec, ErrsByHalfAUnitAtMost) {
  for (const auto& [name, tensor] : finite_samples()) {
    if (name == "largest") continue;
    const auto expected = elements_of(tensor);
    const auto found = elements_of(through("f16", tensor));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], std::abs(expected[i]) * 0x1p-11F + 0x1p-25F) << name;
    }
  }
}

TEST(BfloatCodec, RoundsToNearestWithTiesToEven) {
  const float ulp = std::ldexp(1.0F, -7);
  EXPECT_EQ(through_bfloat(1 + ulp / 2), 1.0F);
  EXPECT_EQ(through_bfloat(1 + 3 * ulp / 2), 1 + 2 * ulp);
  EXPECT_EQ(through_bfloat(-1 - 0.51F * ulp), -1 - ulp);
  EXPECT_EQ(through_bfloat(0), 0.0F);
  EXPECT_TRUE(std::signbit(through_bfloat(-0.0F)));
  const auto largest = std::bit_cast<float>(0x7F7F7FFFU);
  EXPECT_EQ(through_bfloat(largest), std::bit_cast<float>(0x7F7F0000U));
  EXPECT_EQ(through_bfloat(std::numeric_limits<float>::max()),
            std::numeric_limits<float>::max());  // Would be infinity.
}

TEST(BfloatCodec, ErrsByHalfAUnitAtMostAndHalvesTheBytes) {
  const auto numbers = random_floats(1001, 30);
  const Tensor tensor = tensor_of(numbers, {7, 11, 13});
  const auto codec = detail::make_bfloat_codec("");
  EXPECT_EQ(coded_bytes(*codec, tensor).size(), 2003U);
  const auto found = elements_of(through("bf16", tensor));
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_NEAR(found[i], numbers[i], std::abs(numbers[i]) * 0x1p-8F);
}

}  // namespace
}  // namespace splitnet
