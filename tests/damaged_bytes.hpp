// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <random>
#include <utility>
#include <vector>

namespace splitnet::testing {

/// One bit turned in even rounds, cut off somewhere in odd ones. There is at least one byte.
inline std::vector<std::byte> damaged(std::vector<std::byte> bytes, int round, std::mt19937& random) {
  if (round % 2 == 0) bytes[random() % bytes.size()] ^= std::byte{1} << (random() % 8);
  if (round % 2 == 1) bytes.resize(random() % bytes.size());
  return bytes;
}

}  // namespace splitnet::testing
