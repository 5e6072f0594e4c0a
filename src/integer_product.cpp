// SPDX-License-Identifier: Apache-2.0
// The inner loop multiplies pairs: (left[i][k], left[i][k+1]) with (right[k][j], right[k+1][j]) for a vector of j,
// which is one instruction (pmaddwd) on x86-64. Where AVX2 is there, it is used with the same result: integers have no
// order.
#include "integer_product.hpp"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace splitnet::detail {
namespace {

constexpr std::size_t vector = 16;  ///< Columns are filled up to a multiple of this.
constexpr std::size_t rows_at_once = 4;

constexpr std::size_t filled_up(std::size_t columns) {
  return (columns + vector - 1) / vector * vector;
}

/// `count` rows (at most rows_at_once) times one vector of columns.
struct Tile {
  const std::int16_t* left;
  std::size_t left_stride;
  const std::int16_t* right;  ///< The first pair of rows, at these columns.
  std::size_t right_stride;   ///< From one pair of rows to the next.
  std::size_t depth;          ///< Rows of right.
  std::size_t count;
  unsigned shift;
  std::int16_t (*result)[vector];
};

#if defined(__x86_64__)

/// Two neighbours as one 32-bit integer; behind the last one is 0.
std::int32_t pair_at(const std::int16_t* row, std::size_t k, std::size_t count) {
  std::int16_t two[2] = {row[k], k + 1 < count ? row[k + 1] : std::int16_t{0}};
  std::int32_t pair = 0;
  std::memcpy(&pair, two, sizeof pair);
  return pair;
}

template <std::size_t count>
__attribute__((target("avx2"))) void tile_avx2(const Tile& tile) {
  __m256i sums[count][2];
  for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
  const std::int16_t* right = tile.right;
  for (std::size_t k = 0; k < tile.depth; k += 2, right += tile.right_stride) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(right));
    const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(right + vector));
    for (std::size_t i = 0; i < count; ++i) {
      const __m256i pair = _mm256_set1_epi32(pair_at(tile.left + i * tile.left_stride, k, tile.depth));
      sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(pair, low));
      sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(pair, high));
    }
  }
  const __m256i half = _mm256_set1_epi32(1 << (tile.shift - 1));
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(tile.shift));
  for (std::size_t i = 0; i < count; ++i) {
    const __m256i low = _mm256_sra_epi32(_mm256_add_epi32(sums[i][0], half), shift);
    const __m256i high = _mm256_sra_epi32(_mm256_add_epi32(sums[i][1], half), shift);
    // packs works within halves of 128 bits.
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(tile.result[i]), packed);
  }
}

template <std::size_t count>
void tile_sse2(const Tile& tile) {
  __m128i sums[count][4];
  for (auto& row : sums) row[0] = row[1] = row[2] = row[3] = _mm_setzero_si128();
  const std::int16_t* right = tile.right;
  for (std::size_t k = 0; k < tile.depth; k += 2, right += tile.right_stride) {
    __m128i columns[4];
    for (std::size_t v = 0; v < 4; ++v) {
      columns[v] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + 8 * v));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const __m128i pair = _mm_set1_epi32(pair_at(tile.left + i * tile.left_stride, k, tile.depth));
      for (std::size_t v = 0; v < 4; ++v) sums[i][v] = _mm_add_epi32(sums[i][v], _mm_madd_epi16(pair, columns[v]));
    }
  }
  const __m128i half = _mm_set1_epi32(1 << (tile.shift - 1));
  const __m128i shift = _mm_cvtsi32_si128(static_cast<int>(tile.shift));
  for (std::size_t i = 0; i < count; ++i) {
    for (auto& sum : sums[i]) sum = _mm_sra_epi32(_mm_add_epi32(sum, half), shift);
    auto* const result = reinterpret_cast<__m128i*>(tile.result[i]);
    _mm_storeu_si128(result, _mm_packs_epi32(sums[i][0], sums[i][1]));
    _mm_storeu_si128(result + 1, _mm_packs_epi32(sums[i][2], sums[i][3]));
  }
}

template <void (*one)(const Tile&), void (*two)(const Tile&), void (*three)(const Tile&), void (*four)(const Tile&)>
void by_count(const Tile& tile) {
  switch (tile.count) {
    case 1: return one(tile);
    case 2: return two(tile);
    case 3: return three(tile);
    default: return four(tile);
  }
}

using TileFunction = void (*)(const Tile&);
TileFunction best_tile() {
  if (__builtin_cpu_supports("avx2") != 0) return by_count<tile_avx2<1>, tile_avx2<2>, tile_avx2<3>, tile_avx2<4>>;
  return by_count<tile_sse2<1>, tile_sse2<2>, tile_sse2<3>, tile_sse2<4>>;
}

#else

std::int16_t rounded(std::int32_t sum, unsigned shift) {
  const std::int32_t number = (sum + (std::int32_t{1} << (shift - 1))) >> shift;
  return static_cast<std::int16_t>(std::clamp(number, -32768, 32767));
}

void tile_plain(const Tile& tile) {
  for (std::size_t i = 0; i < tile.count; ++i) {
    std::int32_t sums[vector] = {};
    const std::int16_t* left = tile.left + i * tile.left_stride;
    const std::int16_t* right = tile.right;
    for (std::size_t k = 0; k < tile.depth; k += 2, right += tile.right_stride) {
      const std::int32_t first = left[k];
      const std::int32_t second = k + 1 < tile.depth ? left[k + 1] : 0;
      for (std::size_t j = 0; j < vector; ++j) sums[j] += first * right[2 * j] + second * right[2 * j + 1];
    }
    for (std::size_t j = 0; j < vector; ++j) tile.result[i][j] = rounded(sums[j], tile.shift);
  }
}

using TileFunction = void (*)(const Tile&);
TileFunction best_tile() {
  return tile_plain;
}

#endif

}  // namespace

std::size_t PackedMatrix::size_of(std::size_t rows, std::size_t columns) {
  return (rows + 1) / 2 * 2 * filled_up(columns);
}

PackedMatrix pack(const std::int16_t* from, std::size_t rows, std::size_t columns, std::size_t row_stride,
                  std::span<std::int16_t> to) {
  const std::size_t width = filled_up(columns);
  std::int16_t* at = to.data();
  for (std::size_t k = 0; k < rows; k += 2, at += 2 * width) {
    const std::int16_t* const first = from + k * row_stride;
    const std::int16_t* const second = first + row_stride;
    const bool has_second = k + 1 < rows;
    for (std::size_t j = 0; j < columns; ++j) {
      at[2 * j] = first[j];
      at[2 * j + 1] = has_second ? second[j] : std::int16_t{0};
    }
    std::fill(at + 2 * columns, at + 2 * width, std::int16_t{0});
  }
  return {to.data(), rows, columns};
}

void multiply(const std::int16_t* left, std::size_t rows, const PackedMatrix& right, unsigned shift,
              const Strides& strides, std::int16_t* result) {
  static const TileFunction run = best_tile();
  const std::size_t width = filled_up(right.columns);
  std::int16_t room[rows_at_once][vector];
  for (std::size_t i = 0; i < rows; i += rows_at_once) {
    const std::size_t count = std::min(rows_at_once, rows - i);
    for (std::size_t j = 0; j < right.columns; j += vector) {
      run({left + i * strides.left, strides.left, right.items + 2 * j, 2 * width, right.rows, count, shift, room});
      const std::size_t columns = std::min(vector, right.columns - j);
      for (std::size_t r = 0; r < count; ++r) {
        std::memcpy(result + (i + r) * strides.result + j, room[r], columns * sizeof(std::int16_t));
      }
    }
  }
}

}  // namespace splitnet::detail
