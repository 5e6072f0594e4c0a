// SPDX-License-Identifier: Apache-2.0
// The codecs that codec_fuzz decodes with, and what it decodes.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../codec_samples.hpp"
#include "../transform_samples.hpp"
#include "transform_codec.hpp"

namespace splitnet::testing {

struct FuzzedCodec {
  std::string name;
  std::shared_ptr<const Codec> codec;
};

/// The first byte of an input picks one.
inline std::vector<FuzzedCodec> fuzzed_codecs() {
  std::vector<FuzzedCodec> codecs;
  for (const char* const name : {
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
       }) {
    codecs.push_back({name, CodecRegistry::with_defaults().make(name)});
  }
  std::vector<detail::TransformExample> sentences;
  for (unsigned i = 0; i < 12; ++i) sentences.push_back({tokens(9, 50 + i), {}});
  codecs.push_back(
      {"transform", detail::make_transform_codec(
                        {tables_for(3, 8, 8), tables_for(5, 7, 6), detail::train_transform(sentences).value()}, 0)});
  return codecs;
}

/// Seeds: pictures, which nearly all codecs take, and boundaries for the tables above.
inline std::vector<Tensor> fuzzed_tensors() {
  return {tensor_of(random_floats(3 * 6 * 5), {1, 3, 6, 5}),
          tensor_of(random_floats(2 * 3 * 8 * 8), {2, 3, 8, 8}, {192, 1, 24, 3}),
          tensor_of(std::vector<float>(3 * 4 * 4, 0.5F), {3, 4, 4}),
          tensor_of({not_a_number, 0, 1, infinity, 2, 3, 4, 5, 6, 7, 8, 9}, {3, 2, 2}),
          smooth_maps(1, 3, 16, 8, 1),
          smooth_maps(1, 5, 7, 6, 2),
          tokens(7, 3)};
}

}  // namespace splitnet::testing
