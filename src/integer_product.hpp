// SPDX-License-Identifier: Apache-2.0
// Products of matrices of 16-bit integers: fast, and the same on every machine. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace splitnet::detail {

/// A right factor of `rows` × `columns`, laid out for `multiply`: rows two by two, columns filled up to whole vectors.
struct PackedMatrix {
  const std::int16_t* items = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;

  /// Of 16-bit items.
  static std::size_t size_of(std::size_t rows, std::size_t columns);
};

/// `row_stride` from one row of `from` to the next, in items; `to` has PackedMatrix::size_of items.
PackedMatrix pack(const std::int16_t* from, std::size_t rows, std::size_t columns, std::size_t row_stride,
                  std::span<std::int16_t> to);

/// How `left` lies in memory, and the result: strides from one row to the next, in items.
struct Strides {
  std::size_t left = 0;
  std::size_t result = 0;
};

/// result[i][j] = (Σ left[i][k] · right[k][j] + half) >> shift, rounded half up and saturated to 16 bits, for `rows`
/// rows of left. The sums must fit 32 bits: the caller sees to it. At least 1 as shift.
void multiply(const std::int16_t* left, std::size_t rows, const PackedMatrix& right, unsigned shift,
              const Strides& strides, std::int16_t* result);

}  // namespace splitnet::detail
