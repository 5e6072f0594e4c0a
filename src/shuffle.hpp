// SPDX-License-Identifier: Apache-2.0
// Puts together the bytes, or bits, that have the same place in different items, as Blosc and Bitshuffle do. Private.
#pragma once

#include <cstddef>
#include <span>

namespace splitnet::detail {

// `to` is as long as `from` and lies elsewhere. What is left behind the last whole item, or, of bits, behind the last
// eight items, comes last and as it is.
void shuffle_bytes(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to);
void unshuffle_bytes(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to);
void shuffle_bits(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to);
void unshuffle_bits(std::span<const std::byte> from, std::size_t item_bytes, std::span<std::byte> to);

}  // namespace splitnet::detail
