// SPDX-License-Identifier: Apache-2.0
#include "pixel_codec.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "codec_samples.hpp"
#include "error_of.hpp"

namespace splitnet {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

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
  const auto coded = coded_bytes(*codec, picture);
  for (std::size_t i = 0; i < items.size(); ++i) ASSERT_EQ(std::to_integer<std::size_t>(coded[i]), i % 256);
  EXPECT_TRUE(bit_identical(decoded_from(*codec, coded, picture), picture));
}

TEST(PixelCodec, ReadsChannelsWhereverTheyLie) {
  const Tensor last = tensor_of(random_floats(48), {1, 3, 4, 4}, {48, 1, 12, 3});
  const Tensor first = tensor_of(elements_of(last), {1, 3, 4, 4});
  const Tensor a = through(pictures, last);
  EXPECT_EQ(a.strides, last.strides);
  EXPECT_TRUE(bit_identical(a, through(pictures, first)));
}

TEST(PixelCodec, ClampsWhatIsNoPicture) {
  const Tensor tensor = tensor_of({-3, 0.5F, 7, 1e30F, -1e30F, 0}, {1, 2, 3});
  const auto codec = CodecRegistry::with_defaults().make("u8:mean=0;std=1");
  const Tensor back = decoded_from(*codec, coded_bytes(*codec, tensor), tensor);
  EXPECT_EQ(elements_of(back), (std::vector<float>{0, 128 / 255.0F, 1, 1, 0, 0}));
}

TEST(PixelCodec, KeepsWhatIsNoNumber) {
  const Tensor tensor = tensor_of({0.5F, not_a_number, infinity}, {1, 1, 3});
  const auto codec = CodecRegistry::with_defaults().make("u8:mean=0;std=1");
  EXPECT_TRUE(bit_identical(decoded_from(*codec, coded_bytes(*codec, tensor), tensor), tensor));
}

TEST(PixelCodec, TakesPicturesOnly) {
  const auto codec = CodecRegistry::with_defaults().make(pictures);
  EXPECT_TRUE(codec->only_inputs());
  EXPECT_TRUE(CodecRegistry::with_defaults().make(pictures + ";lossless=zstd")->only_inputs());
  EXPECT_TRUE(codec->takes(Tensor::empty(DType::f32, {2, 3, 8, 8})));
  EXPECT_TRUE(codec->takes(Tensor::empty(DType::f32, {3, 8, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 4, 8, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {3, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::i64, {3, 8, 8})));
}

TEST(PixelCodec, ChecksItsParameters) {
  const auto registry = CodecRegistry::with_defaults();
  for (const char* wrong :
       {"u8", "u8:", "u8:mean=1", "u8:mean=1;std=", "u8:mean=1;std=0", "u8:mean=1;std=-1", "u8:mean=1,2;std=1",
        "u8:mean=nan;std=1", "u8:mean=1;std=inf", "u8:mean=1x;std=1", "u8:mean=1;std=1;gamma=2"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "codec u8: ", [&] { (void)registry.make(wrong); })) << wrong;
  }
}

}  // namespace
}  // namespace splitnet
