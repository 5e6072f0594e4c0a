// SPDX-License-Identifier: Apache-2.0
// The fixed header of a message, field by field (docs/wire_format.md).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "splitnet/message.hpp"

namespace splitnet::detail {

inline constexpr std::array<char, 4> message_magic = {'S', 'P', 'L', 'N'};
/// Versions that are read. A message is written in the oldest one that can say it.
inline constexpr std::uint16_t oldest_message_version = 1;
inline constexpr std::uint16_t newest_message_version = 4;
inline constexpr std::uint8_t payload_checksum_flag = 1;
inline constexpr std::uint64_t no_time_left = ~std::uint64_t{0};

using HeaderBytes = std::span<const std::byte, message_header_bytes>;

struct WireHeader {
  std::uint16_t version = newest_message_version;
  std::uint8_t kind = 0;
  std::uint8_t flags = 0;
  std::uint64_t id = 0;
  std::uint64_t time_left_ns = no_time_left;
  std::uint32_t metadata_bytes = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t metadata_checksum = 0;
  std::uint64_t payload_checksum = 0;
};

/// With magic, version and the header's own checksum.
void write_header(const WireHeader& header, std::span<std::byte, message_header_bytes> bytes);
/// Checks everything that the header alone shows. Errors as decode_header.
WireHeader read_header(HeaderBytes bytes, const MessageLimits& limits);

std::uint64_t checksum(std::span<const std::byte> bytes) noexcept;

/// The next multiple of the alignment of payloads.
constexpr std::size_t aligned(std::size_t bytes) noexcept {
  return (bytes + tensor_alignment_bytes - 1) / tensor_alignment_bytes * tensor_alignment_bytes;
}

/// Writes magic, a known version, payload length and all checksums anew, so that a damaged message gets past
/// them to the checks behind. For fuzzing and tests. `message` has at least a header.
void repair_header(std::span<std::byte> message);

}  // namespace splitnet::detail
