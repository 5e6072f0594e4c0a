// SPDX-License-Identifier: Apache-2.0
// Walks over the elements of two tensors of the same sizes at once, in runs as long as possible.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace splitnet::detail {

/// One dimension of two tensors, strides in bytes.
struct PairedDim {
  std::size_t size = 1;
  std::size_t stride_a = 0;
  std::size_t stride_b = 0;
};

/// Of sizes with strides in elements of `item_bytes` bytes.
inline std::vector<PairedDim> paired(const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides_a,
                                     const std::vector<std::int64_t>& strides_b, std::size_t item_bytes) {
  std::vector<PairedDim> dims(sizes.size());
  for (std::size_t i = 0; i < dims.size(); ++i) {
    dims[i] = {static_cast<std::size_t>(sizes[i]), static_cast<std::size_t>(strides_a[i]) * item_bytes,
               static_cast<std::size_t>(strides_b[i]) * item_bytes};
  }
  return dims;
}

/// Drops dimensions of one element, orders the rest by descending strides and joins those that are dense
/// in both tensors.
inline std::vector<PairedDim> joined(std::vector<PairedDim> dims) {
  std::erase_if(dims, [](const PairedDim& dim) { return dim.size == 1; });
  std::stable_sort(dims.begin(), dims.end(), [](const PairedDim& x, const PairedDim& y) {
    return x.stride_b != y.stride_b ? x.stride_b > y.stride_b : x.stride_a > y.stride_a;
  });
  std::vector<PairedDim> result;
  for (const auto& dim : dims) {
    if (!result.empty() && result.back().stride_a == dim.stride_a * dim.size &&
        result.back().stride_b == dim.stride_b * dim.size) {
      result.back() = {result.back().size * dim.size, dim.stride_a, dim.stride_b};
    } else {
      result.push_back(dim);
    }
  }
  return result;
}

/// Calls `visit(offset_a, offset_b, bytes)` for runs of bytes that are dense in both tensors, until it
/// returns false. Every element is visited once; the order is not specified.
template <class Visit>
bool for_each_run(std::vector<PairedDim> dims, std::size_t item_bytes, Visit&& visit) {
  for (const auto& dim : dims) {
    if (dim.size == 0) return true;
  }
  dims = joined(std::move(dims));
  std::size_t run_bytes = item_bytes;
  if (!dims.empty() && dims.back().stride_a == item_bytes && dims.back().stride_b == item_bytes) {
    run_bytes = item_bytes * dims.back().size;
    dims.pop_back();
  }
  std::vector<std::size_t> index(dims.size(), 0);
  std::size_t offset_a = 0;
  std::size_t offset_b = 0;
  for (;;) {
    if (!visit(offset_a, offset_b, run_bytes)) return false;
    std::size_t d = dims.size();
    for (; d > 0; --d) {
      const auto& dim = dims[d - 1];
      offset_a += dim.stride_a;
      offset_b += dim.stride_b;
      if (++index[d - 1] < dim.size) break;
      offset_a -= dim.stride_a * dim.size;
      offset_b -= dim.stride_b * dim.size;
      index[d - 1] = 0;
    }
    if (d == 0) return true;
  }
}

}  // namespace splitnet::detail
