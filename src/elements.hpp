// SPDX-License-Identifier: Apache-2.0
// The elements of a tensor of f32 in row-major order, whatever its strides. Private.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "scratch.hpp"
#include "splitnet/tensor.hpp"
#include "strided.hpp"

namespace splitnet::detail {

/// Calls `visit(offset in memory, offset in row-major order, bytes)` for runs that are dense in both.
template <class Visit>
void for_each_row_major_run(const Tensor& tensor, Visit&& visit) {
  const std::size_t item_bytes = size_bytes(tensor.dtype);
  auto dims = paired(tensor.sizes, tensor.strides, contiguous_strides(tensor.sizes), item_bytes);
  for_each_run(std::move(dims), item_bytes, [&](std::size_t at, std::size_t dense_at, std::size_t bytes) {
    visit(at, dense_at, bytes);
    return true;
  });
}

/// The tensor's own memory when it is contiguous, otherwise a copy in this thread's scratch memory.
inline std::span<const float> row_major(const Tensor& tensor) {
  const auto count = static_cast<std::size_t>(tensor.element_count());
  if (tensor.is_contiguous()) return {reinterpret_cast<const float*>(tensor.data()), count};
  const auto copy = scratch<float, ScratchUse::elements>(count);
  auto* const to = reinterpret_cast<std::byte*>(copy.data());
  for_each_row_major_run(tensor, [&](std::size_t at, std::size_t dense_at, std::size_t bytes) {
    std::memcpy(to + dense_at, tensor.data() + at, bytes);
  });
  return copy;
}

/// Calls `fill(elements)` with room for the elements in row-major order, and puts them where they belong.
template <class Fill>
void fill_row_major(Tensor& tensor, Fill&& fill) {
  const auto count = static_cast<std::size_t>(tensor.element_count());
  if (tensor.is_contiguous()) {
    fill(std::span<float>{reinterpret_cast<float*>(tensor.data()), count});
    return;
  }
  const auto copy = scratch<float, ScratchUse::elements>(count);
  fill(copy);
  const auto* const from = reinterpret_cast<const std::byte*>(copy.data());
  for_each_row_major_run(tensor, [&](std::size_t at, std::size_t dense_at, std::size_t bytes) {
    std::memcpy(tensor.data() + at, from + dense_at, bytes);
  });
}

}  // namespace splitnet::detail
