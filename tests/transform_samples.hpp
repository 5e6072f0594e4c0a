// SPDX-License-Identifier: Apache-2.0
// Boundaries that look like a network's, and tables for them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "codec_samples.hpp"
#include "transform_training.hpp"

namespace splitnet::testing {

/// Smooth maps whose channels are mixtures of a few sources.
inline Tensor smooth_maps(std::int64_t batch, std::int64_t channels, std::int64_t height, std::int64_t width,
                          unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> items(static_cast<std::size_t>(batch * channels * height * width), 0);
  const std::size_t plane = static_cast<std::size_t>(height * width);
  for (std::int64_t n = 0; n < batch; ++n) {
    for (int source = 0; source < 4; ++source) {
      const float a = normal(random) * 3;
      const float u = normal(random);
      const float v = normal(random);
      for (std::int64_t c = 0; c < channels; ++c) {
        const float mix = std::sin(static_cast<float>(c * (source + 1)));
        float* const map = items.data() + static_cast<std::size_t>(n * channels + c) * plane;
        for (std::size_t i = 0; i < plane; ++i) {
          const auto y = static_cast<float>(i / static_cast<std::size_t>(width)) / static_cast<float>(height);
          const auto x = static_cast<float>(i % static_cast<std::size_t>(width)) / static_cast<float>(width);
          map[i] += mix * a * std::cos(3 * (u * x + v * y)) + 0.05F * normal(random);
        }
      }
    }
  }
  return tensor_of(items, {batch, channels, height, width});
}

inline detail::TransformTables tables_for(std::int64_t channels, std::int64_t height, std::int64_t width) {
  std::vector<detail::TransformExample> examples;
  for (unsigned i = 0; i < 12; ++i) examples.push_back({smooth_maps(1, channels, height, width, 100 + i), {}});
  return detail::train_transform(examples).value();
}

inline Tensor tokens(std::int64_t count, unsigned seed) {
  const Tensor maps = smooth_maps(count, 24, 1, 1, seed);
  return tensor_of(elements_of(maps), {1, count, 24});
}

}  // namespace splitnet::testing
