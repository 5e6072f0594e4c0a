// SPDX-License-Identifier: Apache-2.0
// Between the bytes of a picture and the numbers that a model takes. Private to codecs of pictures.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "codec_parameters.hpp"
#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// An element of a picture is (p / 255 − mean) / deviation for p of 0 … 255.
struct PixelScale {
  std::vector<float> mean;       ///< One for each channel, or one for all.
  std::vector<float> deviation;  ///< As many, above 0.

  /// From `mean=M,…;std=S,…`. Throws invalid_argument.
  static PixelScale of(CodecParameters& parameters);
  /// A tensor of f32, […, channels, height, width] with so many channels.
  [[nodiscard]] bool fits(const Tensor& tensor) const noexcept;
  /// Channel by channel, rounded and clamped, whole pictures of `channels` planes of `plane` elements. False when an
  /// element is not finite.
  bool to_pixels(std::span<const float> elements, std::size_t channels, std::size_t plane,
                 std::span<std::byte> pixels) const;
  /// Back again.
  void to_elements(std::span<const std::byte> pixels, std::size_t channels, std::size_t plane,
                   std::span<float> elements) const;
};

}  // namespace splitnet::detail
