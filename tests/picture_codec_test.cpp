// SPDX-License-Identifier: Apache-2.0
#include "picture_codec.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "codec_samples.hpp"
#include "damaged_bytes.hpp"
#include "error_of.hpp"

namespace splitnet {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

/// Two smooth colour pictures of 40 × 24 pixels.
Tensor two_pictures() {
  std::vector<float> items;
  for (int picture = 0; picture < 2; ++picture) {
    for (int channel = 0; channel < 3; ++channel) {
      for (int y = 0; y < 24; ++y) {
        for (int x = 0; x < 40; ++x) {
          items.push_back(0.5F + 0.4F * std::sin(0.1F * static_cast<float>(x + channel * 9 + picture * 5)) *
                                     std::cos(0.15F * static_cast<float>(y)));
        }
      }
    }
  }
  return tensor_of(items, {2, 3, 24, 40});
}

double mean_error(const Tensor& a, const Tensor& b) {
  const auto x = elements_of(a);
  const auto y = elements_of(b);
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i]));
  return sum / static_cast<double>(x.size());
}

std::vector<std::string> formats() {
  return {"jpeg:mean=0;std=1;quality=95", "webp:mean=0;std=1;quality=95",
          "jpeg:mean=0;std=1;subsampling=420;quality=95"};
}

TEST(PictureCodec, KeepsPicturesNearlyAsTheyWere) {
  const Tensor tensor = two_pictures();
  for (const std::string& name : formats()) {
    const auto codec = CodecRegistry::with_defaults().make(name);
    ASSERT_TRUE(codec->only_inputs());
    const auto coded = coded_bytes(*codec, tensor);
    EXPECT_LT(coded.size(), tensor.packed_bytes() / 8) << name;
    EXPECT_LT(mean_error(decoded_from(*codec, coded, tensor), tensor), 0.02) << name;
  }
}

TEST(PictureCodec, MeansMoreBytesByMoreQuality) {
  for (const std::string format : {"jpeg", "webp"}) {
    const auto bytes = [&](const char* quality) {
      const auto codec = CodecRegistry::with_defaults().make(format + ":mean=0;std=1;quality=" + quality);
      return coded_bytes(*codec, two_pictures()).size();
    };
    EXPECT_LT(bytes("30"), bytes("98")) << format;
  }
}

/// The numbers that the model takes, not those of the file.
TEST(PictureCodec, KnowsMeanAndScale) {
  const Tensor plain = two_pictures();
  auto items = elements_of(plain);
  const float mean[] = {0.485F, 0.456F, 0.406F};
  const float deviation[] = {0.229F, 0.224F, 0.225F};
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t c = i / (24 * 40) % 3;
    items[i] = (items[i] - mean[c]) / deviation[c];
  }
  const Tensor scaled = tensor_of(items, plain.sizes);
  const auto codec =
      CodecRegistry::with_defaults().make("jpeg:mean=0.485,0.456,0.406;std=0.229,0.224,0.225;quality=95");
  const auto simple = CodecRegistry::with_defaults().make("jpeg:mean=0;std=1;quality=95");
  EXPECT_EQ(coded_bytes(*codec, scaled), coded_bytes(*simple, plain));
  EXPECT_LT(mean_error(decoded_from(*codec, coded_bytes(*codec, scaled), scaled), scaled), 0.08);
}

TEST(PictureCodec, TakesGreyPicturesAndChannelsLast) {
  const auto codec = CodecRegistry::with_defaults().make("jpeg:mean=0;std=1;quality=98");
  const Tensor grey = tensor_of(std::vector<float>(64, 0.25F), {1, 8, 8});
  EXPECT_LT(mean_error(decoded_from(*codec, coded_bytes(*codec, grey), grey), grey), 0.01);
  Tensor last = two_pictures();
  last.sizes = {2, 3, 24, 40};
  last.strides = {2880, 1, 120, 3};
  const Tensor back = decoded_from(*codec, coded_bytes(*codec, last), last);
  EXPECT_EQ(back.strides, last.strides);
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 4, 8, 8})));
  EXPECT_FALSE(codec->takes(Tensor::empty(DType::f32, {1, 3, 0, 8})));
  EXPECT_FALSE(CodecRegistry::with_defaults().make("webp:mean=0;std=1")->takes(grey));
}

TEST(PictureCodec, KeepsWhatIsNoNumber) {
  auto items = elements_of(two_pictures());
  items.back() = not_a_number;
  const Tensor tensor = tensor_of(items, {2, 3, 24, 40});
  for (const std::string& name : formats()) {
    const auto codec = CodecRegistry::with_defaults().make(name);
    EXPECT_TRUE(bit_identical(decoded_from(*codec, coded_bytes(*codec, tensor), tensor), tensor));
  }
}

TEST(PictureCodec, WorstPicturesFit) {
  std::mt19937 random(5);
  std::vector<float> items(3 * 64 * 64);
  for (float& item : items) item = static_cast<float>(random() % 2);
  const Tensor noise = tensor_of(items, {1, 3, 64, 64});
  for (const char* name : {"jpeg:mean=0;std=1;quality=100", "webp:mean=0;std=1;quality=100"}) {
    const auto codec = CodecRegistry::with_defaults().make(name);
    EXPECT_LE(coded_bytes(*codec, noise).size(), codec->max_coded_bytes(noise));
  }
}

TEST(PictureCodec, SurvivesDamagedBytes) {
  std::mt19937 random(3);
  const Tensor tensor = two_pictures();
  for (const std::string& name : formats()) {
    const auto codec = CodecRegistry::with_defaults().make(name);
    const auto good = coded_bytes(*codec, tensor);
    for (int round = 0; round < 300; ++round) {
      const auto bad = damaged(good, round, random);
      try {
        (void)decoded_from(*codec, bad, tensor);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::corrupt) << error.what();
      }
    }
  }
}

TEST(PictureCodec, RefusesPicturesOfAnotherSize) {
  const auto codec = CodecRegistry::with_defaults().make("jpeg:mean=0;std=1");
  const Tensor tensor = two_pictures();
  Tensor other = tensor;
  other.sizes = {2, 3, 40, 24};
  other.strides = contiguous_strides(other.sizes);
  EXPECT_TRUE(throws(ErrorCode::corrupt, "found a picture of 40×24 in 3 channels, expected 24×40",
                     [&] { (void)decoded_from(*codec, coded_bytes(*codec, tensor), other); }));
}

TEST(PictureCodec, ChecksItsParameters) {
  const auto registry = CodecRegistry::with_defaults();
  for (const char* wrong : {"jpeg", "jpeg:mean=0;std=1;quality=0", "jpeg:mean=0;std=1;subsampling=411",
                            "webp:mean=0;std=1;quality=101", "webp:mean=0;std=1;subsampling=444"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "codec ", [&] { (void)registry.make(wrong); })) << wrong;
  }
}

}  // namespace
}  // namespace splitnet
