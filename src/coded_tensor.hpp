// SPDX-License-Identifier: Apache-2.0
// What travels of a tensor beside what the codec makes of its elements. Private.
#pragma once

#include <cstddef>
#include <span>

#include "splitnet/codec.hpp"
#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// Whether a codec may be offered the tensor: each of its bytes is there once, and gaps take at most three times as
/// many.
bool is_codable(const Tensor& tensor);

/// The same elements, each once: dimensions that repeat (stride 0) have size 1.
Tensor without_repeats(Tensor tensor);

/// What the codec writes, and then dtype, sizes and strides: a tensor of u8. The tensor is codable without repeats, and
/// the codec takes it so.
Tensor encode_tensor(const Codec& codec, const Tensor& tensor, bool& kept_exact);

/// The same by hand: room for what is written in place of the codec, at most so many bytes; and behind what was written
/// the shape, of a tensor as above.
Tensor room_for_coded(std::size_t max_bytes);
void close_coded(Tensor& coded, std::size_t written_bytes, const Tensor& shape);

/// A tensor that has arrived, before it is decoded.
struct CodedTensor {
  Tensor shape;                      ///< Without memory.
  std::span<const std::byte> bytes;  ///< For the codec.
};
/// Throws corrupt for what encode_tensor never gives.
CodedTensor open_coded_tensor(const Codec& codec, const Tensor& coded);
/// With memory of its own; bytes in gaps are 0. Throws corrupt.
Tensor decode_tensor(const Codec& codec, const CodedTensor& coded);

}  // namespace splitnet::detail
