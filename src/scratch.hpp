// SPDX-License-Identifier: Apache-2.0
// Memory that a thread keeps between calls, so that codecs take none once they are warm. Private.
#pragma once

#include <cstddef>
#include <span>

#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// What scratch memory is for: each use has memory of its own, so that a codec may call another.
enum class ScratchUse { elements, ranges, symbols, coded, shuffled };

/// Uninitialised, aligned to `tensor_alignment_bytes`, of this thread; until the next call with the same use.
template <class T, ScratchUse use>
std::span<T> scratch(std::size_t count) {
  thread_local Storage storage;
  if (storage.size_bytes() < count * sizeof(T)) storage = Storage::allocate(count * sizeof(T));
  return {reinterpret_cast<T*>(storage.data()), count};
}

}  // namespace splitnet::detail
