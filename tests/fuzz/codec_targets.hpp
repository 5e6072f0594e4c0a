// SPDX-License-Identifier: Apache-2.0
// The codecs that codec_fuzz decodes with, and what it decodes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "../codec_samples.hpp"

namespace splitnet::testing {

/// The first byte of an input picks one.
inline std::vector<std::string> fuzzed_codecs() {
  return {
      "f32",
      "f16",
      "bf16",
      "int8",
      "int8:per=channel",
      "int5:per=channel",
      "int2",
      "f32:lossless=lz4;shuffle=byte",
      "f32:lossless=zstd;shuffle=bit",
      "int4:per=channel;lossless=zstd",
      "u8:mean=0;std=1",
      "jpeg:mean=0;std=1",
      "webp:mean=0;std=1",
  };
}

/// Seeds: pictures, so that all codecs take them.
inline std::vector<Tensor> fuzzed_tensors() {
  return {tensor_of(random_floats(3 * 6 * 5), {1, 3, 6, 5}),
          tensor_of(random_floats(2 * 3 * 8 * 8), {2, 3, 8, 8}, {192, 1, 24, 3}),
          tensor_of(std::vector<float>(3 * 4 * 4, 0.5F), {3, 4, 4}),
          tensor_of({not_a_number, 0, 1, infinity, 2, 3, 4, 5, 6, 7, 8, 9}, {3, 2, 2})};
}

}  // namespace splitnet::testing
