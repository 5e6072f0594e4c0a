// SPDX-License-Identifier: Apache-2.0
// What codecs that keep the shape of a tensor have in common. Private.
#pragma once

#include <cstddef>

#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// Of the same sizes and strides, uninitialised.
inline Tensor tensor_like(const Tensor& tensor, DType dtype) {
  Tensor result{{}, dtype, tensor.sizes, tensor.strides, 0};
  result.storage = Storage::allocate(result.span_bytes());
  return result;
}

/// Neither side takes memory for gaps without end: those of a column of a large matrix, say.
inline bool has_few_gaps(const Tensor& tensor) {
  constexpr std::size_t most = 4;
  return tensor.span_bytes() / most <= tensor.packed_bytes();
}

}  // namespace splitnet::detail
