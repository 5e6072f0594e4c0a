// SPDX-License-Identifier: Apache-2.0
#include "lossless_codec.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "codec_samples.hpp"
#include "error_of.hpp"
#include "shuffle.hpp"

namespace splitnet {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

std::size_t bytes_of(const std::string& codec, const Tensor& tensor) {
  return coded_bytes(*CodecRegistry::with_defaults().make(codec), tensor).size();
}

TEST(LosslessCodec, MakesZerosNearlyFree) {
  const Tensor zeros = tensor_of(std::vector<float>(100000, 0.0F), {1, 10, 100, 100});
  EXPECT_LT(bytes_of("f32:lossless=lz4", zeros), 2000U);
  EXPECT_LT(bytes_of("f32:lossless=zstd", zeros), 100U);
  EXPECT_LT(bytes_of("int8:lossless=zstd", zeros), 100U);
}

TEST(LosslessCodec, AddsAByteToWhatDoesNotGetSmaller) {
  std::vector<float> noise(1000);
  std::uint64_t state = 1;
  for (float& number : noise) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    number = std::bit_cast<float>(static_cast<std::uint32_t>(state >> 32U));
  }
  const Tensor tensor = tensor_of(noise, {1000});
  EXPECT_EQ(bytes_of("f32:lossless=lz4", tensor), 4001U);
  EXPECT_EQ(bytes_of("f32:lossless=zstd;level=3", tensor), 4001U);
}

TEST(LosslessCodec, ShufflingHelps) {
  const Tensor tensor = tensor_of(random_floats(20000), {1, 2, 100, 100});
  EXPECT_LT(bytes_of("f32:lossless=zstd;shuffle=byte", tensor), bytes_of("f32:lossless=zstd", tensor));
  EXPECT_LT(bytes_of("f16:lossless=lz4;shuffle=bit", tensor), bytes_of("f16:lossless=lz4", tensor));
}

TEST(LosslessCodec, StopsABombAtTheSizeOfTheTensor) {
  const Tensor large = tensor_of(std::vector<float>(1 << 20, 0.0F), {1 << 20});
  const Tensor small = tensor_of({1, 2}, {2});
  for (const char* name : {"f32:lossless=zstd", "f32:lossless=lz4"}) {
    const auto codec = CodecRegistry::with_defaults().make(name);
    const auto bomb = coded_bytes(*codec, large);
    EXPECT_LT(bomb.size(), 20000U);
    EXPECT_TRUE(throws(ErrorCode::corrupt, "lossless stage", [&] { (void)decoded_from(*codec, bomb, small); }));
  }
}

TEST(Shuffle, PutsTogetherWhatMeansTheSame) {
  const std::vector<std::byte> from{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};
  std::vector<std::byte> to(5);
  detail::shuffle_bytes(from, 2, to);
  EXPECT_EQ(to, (std::vector<std::byte>{std::byte{1}, std::byte{3}, std::byte{2}, std::byte{4}, std::byte{5}}));
  const std::vector<std::byte> ones(8, std::byte{5});
  std::vector<std::byte> planes(8);
  detail::shuffle_bits(ones, 1, planes);
  EXPECT_EQ(planes[0], std::byte{255});
  EXPECT_EQ(planes[1], std::byte{0});
  EXPECT_EQ(planes[2], std::byte{255});
}

TEST(Shuffle, ComesBackForEveryLength) {
  for (std::size_t item_bytes = 1; item_bytes <= 4; ++item_bytes) {
    for (std::size_t size = 0; size < 200; ++size) {
      std::vector<std::byte> from(size);
      for (std::size_t i = 0; i < size; ++i) from[i] = static_cast<std::byte>(i * 37 + i / 7);
      std::vector<std::byte> to(size);
      std::vector<std::byte> back(size);
      detail::shuffle_bytes(from, item_bytes, to);
      detail::unshuffle_bytes(to, item_bytes, back);
      EXPECT_EQ(back, from);
      detail::shuffle_bits(from, item_bytes, to);
      detail::unshuffle_bits(to, item_bytes, back);
      EXPECT_EQ(back, from);
    }
  }
}

}  // namespace
}  // namespace splitnet
