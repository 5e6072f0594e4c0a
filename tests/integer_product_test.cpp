// SPDX-License-Identifier: Apache-2.0
#include "integer_product.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace splitnet::detail {
namespace {

std::vector<std::int16_t> random_items(std::size_t count, int most, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int16_t> items(count);
  for (auto& item : items) item = static_cast<std::int16_t>(static_cast<int>(random() % (2 * most + 1)) - most);
  return items;
}

TEST(IntegerProduct, IsTheSumOfProductsRoundedAndSaturated) {
  for (const std::size_t rows : {1, 3, 4, 9}) {
    for (const std::size_t depth : {1, 2, 7, 80, 81}) {
      for (const std::size_t columns : {1, 5, 16, 33, 128}) {
        const auto left = random_items(rows * depth, 8191, 1);
        const auto right = random_items(depth * columns, 1600, 2);
        std::vector<std::int16_t> room(PackedMatrix::size_of(depth, columns));
        const PackedMatrix packed = pack(right.data(), depth, columns, columns, room);
        std::vector<std::int16_t> result(rows * columns);
        multiply(left.data(), rows, packed, 11, {depth, columns}, result.data());
        for (std::size_t i = 0; i < rows; ++i) {
          for (std::size_t j = 0; j < columns; ++j) {
            std::int64_t sum = 1 << 10;
            for (std::size_t k = 0; k < depth; ++k) sum += std::int64_t{left[i * depth + k]} * right[k * columns + j];
            ASSERT_EQ(result[i * columns + j], std::clamp<std::int64_t>(sum >> 11, -32768, 32767))
                << rows << ' ' << depth << ' ' << columns;
          }
        }
      }
    }
  }
}

TEST(IntegerProduct, TakesRowsFromWithinLargerMatrices) {
  const auto left = random_items(4 * 10, 100, 3);
  const auto right = random_items(6 * 20, 100, 4);
  std::vector<std::int16_t> room(PackedMatrix::size_of(3, 5));
  const PackedMatrix packed = pack(right.data() + 7, 3, 5, 20, room);
  std::vector<std::int16_t> result(4 * 8, 77);
  multiply(left.data() + 2, 4, packed, 1, {10, 8}, result.data());
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      int sum = 1;
      for (std::size_t k = 0; k < 3 && j < 5; ++k) sum += left[i * 10 + 2 + k] * right[7 + k * 20 + j];
      EXPECT_EQ(result[i * 8 + j], j < 5 ? sum >> 1 : 77);
    }
  }
}

}  // namespace
}  // namespace splitnet::detail
