// SPDX-License-Identifier: Apache-2.0
#include "pixel_scale.hpp"

#include <algorithm>
#include <cstdint>

namespace splitnet::detail {

PixelScale PixelScale::of(CodecParameters& parameters) {
  PixelScale scale{parameters.numbers("mean"), parameters.numbers("std")};
  if (scale.mean.size() != scale.deviation.size()) {
    parameters.wrong(std::to_string(scale.mean.size()) + " means and " + std::to_string(scale.deviation.size()) +
                     " deviations, expected as many");
  }
  if (*std::min_element(scale.deviation.begin(), scale.deviation.end()) <= 0) {
    parameters.wrong("std has a number that is not above 0");
  }
  return scale;
}

bool PixelScale::fits(const Tensor& tensor) const noexcept {
  const std::size_t rank = tensor.sizes.size();
  if (tensor.dtype != DType::f32 || rank < 3) return false;
  return mean.size() == 1 || tensor.sizes[rank - 3] == static_cast<std::int64_t>(mean.size());
}

bool PixelScale::to_pixels(std::span<const float> elements, std::size_t channels, std::size_t plane,
                           std::span<std::byte> pixels) const {
  bool all_finite = true;
  for (std::size_t begin = 0, run = 0; begin < elements.size(); begin += plane, ++run) {
    const std::size_t c = mean.size() == 1 ? 0 : run % channels;
    const float* const from = elements.data() + begin;
    std::byte* const to = pixels.data() + begin;
    float probe = 0;
    for (std::size_t i = 0; i < plane; ++i) {
      const float level = (from[i] * deviation[c] + mean[c]) * 255.0F;
      const float at_most = level < 255 ? level : 255.0F;  // In this order, so that NaN is in range as well.
      const float clamped = at_most > 0 ? at_most : 0.0F;
      to[i] = static_cast<std::byte>(static_cast<int>(clamped + 0.5F));
      probe += from[i] * 0.0F;
    }
    all_finite = all_finite && probe == 0;
  }
  return all_finite;
}

void PixelScale::to_elements(std::span<const std::byte> pixels, std::size_t channels, std::size_t plane,
                             std::span<float> elements) const {
  for (std::size_t begin = 0, run = 0; begin < elements.size(); begin += plane, ++run) {
    const std::size_t c = mean.size() == 1 ? 0 : run % channels;
    for (std::size_t i = begin; i < begin + plane; ++i) {
      elements[i] = (static_cast<float>(std::to_integer<unsigned>(pixels[i])) / 255.0F - mean[c]) / deviation[c];
    }
  }
}

}  // namespace splitnet::detail
