// SPDX-License-Identifier: Apache-2.0
#include "message_wire.hpp"

#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "message_metadata.hpp"

namespace splitnet::detail {
namespace {

// Where each field begins.
constexpr std::size_t kVersion = 4;
constexpr std::size_t kKind = 6;
constexpr std::size_t kFlags = 7;
constexpr std::size_t kId = 8;
constexpr std::size_t kTimeLeft = 16;
constexpr std::size_t kMetadataBytes = 24;
constexpr std::size_t kReserved = 28;
constexpr std::size_t kPayloadBytes = 32;
constexpr std::size_t kMetadataChecksum = 40;
constexpr std::size_t kPayloadChecksum = 48;
constexpr std::size_t kHeaderChecksum = 56;

template <class T>
void store(std::span<std::byte> bytes, std::size_t at, T number) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[at + i] = static_cast<std::byte>(static_cast<std::uint64_t>(number) >> (8 * i));
  }
}

template <class T>
T load(HeaderBytes bytes, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    number |= std::to_integer<std::uint64_t>(bytes[at + i]) << (8 * i);
  }
  return static_cast<T>(number);
}

void store_checksum_of_header(std::span<std::byte> bytes) {
  store(bytes, kHeaderChecksum, checksum(bytes.first(kHeaderChecksum)));
}

std::string printable(std::string_view found) {
  std::string text;
  for (const char c : found) {
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      char escape[5];
      std::snprintf(escape, sizeof(escape), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      text += escape;
    }
  }
  return text;
}

void check_magic(HeaderBytes bytes) {
  if (std::memcmp(bytes.data(), message_magic.data(), message_magic.size()) == 0) return;
  const std::string_view found(reinterpret_cast<const char*>(bytes.data()), message_magic.size());
  std::string text = "message: begins with '" + printable(found) + "', expected 'SPLN'";
  for (const std::string_view http : {"GET ", "POST", "PUT ", "HEAD", "HTTP", "OPTI", "DELE"}) {
    if (found == http) text += "; the peer speaks HTTP";
  }
  if (found == "NLPS") text += "; the peer writes another byte order";
  throw Error(ErrorCode::corrupt, text);
}

void check_version(HeaderBytes bytes) {
  const auto version = load<std::uint16_t>(bytes, kVersion);
  if (version >= oldest_message_version && version <= newest_message_version) return;
  throw Error(ErrorCode::incompatible, "message: version " + std::to_string(version) + ", expected " +
                                           std::to_string(oldest_message_version) + " … " +
                                           std::to_string(newest_message_version));
}

void check_header_checksum(HeaderBytes bytes) {
  if (load<std::uint64_t>(bytes, kHeaderChecksum) == checksum(bytes.first(kHeaderChecksum))) return;
  throw Error(ErrorCode::corrupt, "message: the header's checksum does not fit");
}

void check_fields(const WireHeader& header, std::uint32_t reserved) {
  const auto corrupt = [](const std::string& what) { throw Error(ErrorCode::corrupt, "message header: " + what); };
  const auto first = static_cast<std::uint8_t>(MessageKind::request);
  const auto last = static_cast<std::uint8_t>(header.version < 3 ? MessageKind::cancel : MessageKind::hello);
  if (header.kind < first || header.kind > last) {
    corrupt("kind " + std::to_string(header.kind) + " is unknown");
  }
  if ((header.flags & ~payload_checksum_flag) != 0) {
    corrupt("flags " + std::to_string(header.flags) + " are unknown");
  }
  if (reserved != 0) corrupt("reserved bytes are " + std::to_string(reserved) + ", expected 0");
  if (header.flags == 0 && header.payload_checksum != 0) {
    corrupt("a payload checksum without its flag");
  }
  if (header.time_left_ns != no_time_left && header.time_left_ns > static_cast<std::uint64_t>(INT64_MAX)) {
    corrupt("the time left does not fit 63 bits");
  }
  if (!has_values(static_cast<MessageKind>(header.kind)) && header.payload_bytes != 0) {
    corrupt("a payload in a message that has none");
  }
}

void check_lengths(const WireHeader& header, const MessageLimits& limits) {
  if (header.metadata_bytes > limits.max_metadata_bytes) {
    throw Error(ErrorCode::too_large, "message: " + std::to_string(header.metadata_bytes) +
                                          " bytes of metadata, at most " + std::to_string(limits.max_metadata_bytes) +
                                          " are taken");
  }
  const std::size_t before = message_header_bytes + header.metadata_bytes;
  if (before > limits.max_message_bytes || header.payload_bytes > limits.max_message_bytes - before) {
    throw Error(ErrorCode::too_large, "message: " + std::to_string(header.payload_bytes) + " bytes of payload behind " +
                                          std::to_string(before) + ", at most " +
                                          std::to_string(limits.max_message_bytes) + " in all are taken");
  }
}

}  // namespace

std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

void write_header(const WireHeader& header, std::span<std::byte, message_header_bytes> bytes) {
  std::memcpy(bytes.data(), message_magic.data(), message_magic.size());
  store(bytes, kVersion, header.version);
  store(bytes, kKind, header.kind);
  store(bytes, kFlags, header.flags);
  store(bytes, kId, header.id);
  store(bytes, kTimeLeft, header.time_left_ns);
  store(bytes, kMetadataBytes, header.metadata_bytes);
  store(bytes, kReserved, std::uint32_t{0});
  store(bytes, kPayloadBytes, header.payload_bytes);
  store(bytes, kMetadataChecksum, header.metadata_checksum);
  store(bytes, kPayloadChecksum, header.payload_checksum);
  store_checksum_of_header(bytes);
}

WireHeader read_header(HeaderBytes bytes, const MessageLimits& limits) {
  check_magic(bytes);
  check_version(bytes);
  check_header_checksum(bytes);
  WireHeader header;
  header.version = load<std::uint16_t>(bytes, kVersion);
  header.kind = load<std::uint8_t>(bytes, kKind);
  header.flags = load<std::uint8_t>(bytes, kFlags);
  header.id = load<std::uint64_t>(bytes, kId);
  header.time_left_ns = load<std::uint64_t>(bytes, kTimeLeft);
  header.metadata_bytes = load<std::uint32_t>(bytes, kMetadataBytes);
  header.payload_bytes = load<std::uint64_t>(bytes, kPayloadBytes);
  header.metadata_checksum = load<std::uint64_t>(bytes, kMetadataChecksum);
  header.payload_checksum = load<std::uint64_t>(bytes, kPayloadChecksum);
  check_fields(header, load<std::uint32_t>(bytes, kReserved));
  check_lengths(header, limits);
  return header;
}

void repair_header(std::span<std::byte> message) {
  const auto header = message.first<message_header_bytes>();
  const auto body = message.subspan(message_header_bytes);
  const auto metadata_bytes = std::min<std::size_t>(load<std::uint32_t>(header, kMetadataBytes), body.size());
  std::memcpy(header.data(), message_magic.data(), message_magic.size());
  const auto version = load<std::uint16_t>(header, kVersion);
  store(header, kVersion, std::clamp(version, oldest_message_version, newest_message_version));
  store(header, kMetadataBytes, static_cast<std::uint32_t>(metadata_bytes));
  store(header, kPayloadBytes, std::uint64_t{body.size() - metadata_bytes});
  store(header, kMetadataChecksum, checksum(body.first(metadata_bytes)));
  const bool checked = load<std::uint8_t>(header, kFlags) == payload_checksum_flag;
  store(header, kPayloadChecksum, checked ? checksum(body.subspan(metadata_bytes)) : 0);
  store_checksum_of_header(header);
}

}  // namespace splitnet::detail
