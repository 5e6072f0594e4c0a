// SPDX-License-Identifier: Apache-2.0
#include "shuffle.hpp"

#include <bit>
#include <cstdint>
#include <cstring>

namespace splitnet::detail {
namespace {

/// The transpose of eight rows of eight bits (Warren, "Hacker's Delight", 2nd ed., §7-3); its own inverse.
std::uint64_t transposed(std::uint64_t rows) {
  std::uint64_t swap = (rows ^ (rows >> 7U)) & 0x00AA00AA00AA00AAU;
  rows ^= swap ^ (swap << 7U);
  swap = (rows ^ (rows >> 14U)) & 0x0000CCCC0000CCCCU;
  rows ^= swap ^ (swap << 14U);
  swap = (rows ^ (rows >> 28U)) & 0x00000000F0F0F0F0U;
  return rows ^ swap ^ (swap << 28U);
}

static_assert(std::endian::native == std::endian::little, "eight bytes are an integer, the first lowest");

void copy_rest(std::span<const std::byte> from, std::size_t done, std::span<std::byte> to) {
  if (done < from.size()) std::memcpy(to.data() + done, from.data() + done, from.size() - done);
}

}  // namespace

void shuffle_bytes(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to) {
  const std::size_t items = from.size() / item_bytes;
  for (std::size_t b = 0; b < item_bytes; ++b) {
    for (std::size_t i = 0; i < items; ++i) to[b * items + i] = from[i * item_bytes + b];
  }
  copy_rest(from, items * item_bytes, to);
}

void unshuffle_bytes(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to) {
  const std::size_t items = from.size() / item_bytes;
  for (std::size_t b = 0; b < item_bytes; ++b) {
    for (std::size_t i = 0; i < items; ++i) to[i * item_bytes + b] = from[b * items + i];
  }
  copy_rest(from, items * item_bytes, to);
}

void shuffle_bits(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to) {
  const std::size_t eights = from.size() / item_bytes / 8;
  for (std::size_t b = 0; b < item_bytes; ++b) {
    for (std::size_t i = 0; i < eights; ++i) {
      std::uint64_t rows = 0;
      for (std::size_t k = 0; k < 8; ++k) {
        rows |= std::to_integer<std::uint64_t>(from[(8 * i + k) * item_bytes + b]) << (8 * k);
      }
      rows = transposed(rows);
      for (std::size_t bit = 0; bit < 8; ++bit) {
        to[(8 * b + bit) * eights + i] = static_cast<std::byte>(rows >> (8 * bit));
      }
    }
  }
  copy_rest(from, eights * 8 * item_bytes, to);
}

void unshuffle_bits(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to) {
  const std::size_t eights = from.size() / item_bytes / 8;
  for (std::size_t b = 0; b < item_bytes; ++b) {
    for (std::size_t i = 0; i < eights; ++i) {
      std::uint64_t rows = 0;
      for (std::size_t bit = 0; bit < 8; ++bit) {
        rows |= std::to_integer<std::uint64_t>(from[(8 * b + bit) * eights + i]) << (8 * bit);
      }
      rows = transposed(rows);
      for (std::size_t k = 0; k < 8; ++k) {
        to[(8 * i + k) * item_bytes + b] = static_cast<std::byte>(rows >> (8 * k));
      }
    }
  }
  copy_rest(from, eights * 8 * item_bytes, to);
}

}  // namespace splitnet::detail
