// SPDX-License-Identifier: Apache-2.0
#include "picture_similarity.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace splitnet {
namespace {

using detail::is_picture;
using detail::psnr_db;
using detail::square_error;
using detail::ssim;

/// A texture in two channels of 16 × 20, mixed with another one.
Tensor texture(double mixed) {
  Tensor tensor = Tensor::empty(DType::f32, {1, 2, 16, 20});
  auto* to = reinterpret_cast<float*>(tensor.data());
  for (int k = 0; k < 2; ++k) {
    for (int y = 0; y < 16; ++y) {
      for (int x = 0; x < 20; ++x) {
        const int one = (3 * x + 5 * y * (k + 1)) % 17;
        const int other = (3 * x + 5 * y * (k + 1) + x * y) % 17;
        *to++ = static_cast<float>((1 - mixed) * one / 16 + mixed * other / 16);
      }
    }
  }
  return tensor;
}

/// The same elements, channels last in memory.
Tensor channels_last(const Tensor& tensor) {
  Tensor copy = Tensor::empty(DType::f32, tensor.sizes);
  copy.strides = {640, 1, 40, 2};
  const auto* from = reinterpret_cast<const float*>(tensor.data());
  auto* to = reinterpret_cast<float*>(copy.data());
  for (std::size_t i = 0; i < 640; ++i) to[i / 320 + i % 320 * 2] = from[i];
  return copy;
}

/// The figures are those of scikit-image 0.26 (Gaussian window, σ = 1.5, population covariance).
TEST(PictureSimilarity, AgreesWithScikitImage) {
  const Tensor a = texture(0);
  const Tensor b = texture(0.3);
  EXPECT_NEAR(ssim(a, b, 1), 0.8903847366571427, 1e-6);
  EXPECT_NEAR(psnr_db(square_error(a, b, 1) / 640), 18.074252611707035, 1e-5);
  EXPECT_NEAR(ssim(channels_last(a), b, 1), ssim(a, b, 1), 1e-12);
  EXPECT_NEAR(psnr_db(square_error(a, b, 2) / 640) - psnr_db(square_error(a, b, 1) / 640), 6.0206, 1e-4);
}

TEST(PictureSimilarity, IsCompleteForTheSamePicture) {
  const Tensor a = texture(0.5);
  EXPECT_NEAR(ssim(a, a, 1), 1, 1e-12);
  EXPECT_EQ(psnr_db(square_error(a, channels_last(a), 1)), std::numeric_limits<double>::infinity());
}

TEST(PictureSimilarity, KnowsWhatAPictureIs) {
  EXPECT_TRUE(is_picture(Tensor::empty(DType::f32, {1, 3, 11, 11})));
  EXPECT_FALSE(is_picture(Tensor::empty(DType::f32, {1, 3, 10, 64})));
  EXPECT_FALSE(is_picture(Tensor::empty(DType::f32, {1, 64, 64, 3})));
  EXPECT_FALSE(is_picture(Tensor::empty(DType::f32, {3, 64, 64})));
  EXPECT_FALSE(is_picture(Tensor::empty(DType::f32, {1, 0, 64, 64})));
}

}  // namespace
}  // namespace splitnet
