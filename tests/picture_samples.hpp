// SPDX-License-Identifier: Apache-2.0
// Pictures and files of them, for tests.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "codec_samples.hpp"

namespace splitnet::testing {

/// Smooth, in 0 … 1.
inline Tensor smooth_picture(std::int64_t channels, std::int64_t height, std::int64_t width, int seed = 0) {
  std::vector<float> items;
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        items.push_back(0.5F + 0.4F * std::sin(0.1F * static_cast<float>(x + channel * 9 + seed * 5)) *
                                   std::cos(0.15F * static_cast<float>(y)));
      }
    }
  }
  return tensor_of(items, {1, channels, height, width});
}

/// What `codec` makes of one picture in 0 … 1: "jpeg:quality=30". Behind the file stand its length and the form.
inline std::vector<std::byte> file_of(const std::string& codec, const Tensor& picture) {
  const std::string name = codec + (codec.find(':') == std::string::npos ? ":" : ";") + "mean=0;std=1";
  auto bytes = coded_bytes(*CodecRegistry::with_defaults().make(name), picture);
  bytes.resize(bytes.size() - 5);
  return bytes;
}

}  // namespace splitnet::testing
