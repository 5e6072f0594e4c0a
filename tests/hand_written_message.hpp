// SPDX-License-Identifier: Apache-2.0
// Messages written by hand, also such as `encode` never would. For tests.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "message_wire.hpp"
#include "splitnet/message.hpp"

namespace splitnet::testing {

using Bytes = std::vector<std::byte>;

template <class T>
void store(Bytes& bytes, std::size_t at, T number) {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[at + i] = static_cast<std::byte>(static_cast<std::uint64_t>(number) >> (8 * i));
  }
}

/// A header whose checksum fits, whatever else it says.
inline Bytes with_fitting_header_checksum(Bytes bytes) {
  store(bytes, 56, detail::checksum(std::span(bytes).first(56)));
  return bytes;
}

class HandWritten {
 public:
  explicit HandWritten(MessageKind kind = MessageKind::reply) {
    body_.reserve(1024);
    header_[6] = static_cast<std::byte>(kind);
    std::memset(header_.data() + 16, 0xFF, 8);  // no deadline
  }

  HandWritten& id(std::uint64_t number) {
    std::memcpy(header_.data() + 8, &number, sizeof number);
    return *this;
  }
  HandWritten& version(std::uint8_t number) {
    header_[4] = std::byte{number};
    return *this;
  }

  template <class T>
  HandWritten& put(T number) {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      body_.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(number) >> (8 * i)));
    }
    return *this;
  }
  HandWritten& u8(std::uint8_t number) { return put(number); }
  HandWritten& u32(std::uint32_t number) { return put(number); }
  HandWritten& u64(std::uint64_t number) { return put(number); }

  /// Storages in span form, behind what comes before them: of a reply no times, of a request no names and no cuts.
  HandWritten& storages(const std::vector<std::uint64_t>& sizes, std::uint8_t form = 0) {
    u32(0);
    if (header_[6] == static_cast<std::byte>(MessageKind::request)) u32(0).u32(0).u32(0).u8(0);
    u32(static_cast<std::uint32_t>(sizes.size()));
    for (const auto bytes : sizes) u8(form).u64(bytes);
    return *this;
  }
  HandWritten& tensor(std::uint8_t dtype, const std::vector<std::int64_t>& sizes,
                      const std::vector<std::int64_t>& strides, std::uint32_t storage = 0, std::uint64_t offset = 0) {
    u8(7).u8(dtype).u32(static_cast<std::uint32_t>(sizes.size()));
    for (const auto size : sizes) put(size);
    for (const auto stride : strides) put(stride);
    return u32(storage).u64(offset);
  }

  /// With `payload_bytes` of payload behind the padding.
  [[nodiscard]] Bytes finish(std::size_t payload_bytes = 0) const {
    Bytes bytes(header_.begin(), header_.end());
    const auto length = static_cast<std::uint32_t>(body_.size());
    for (std::size_t i = 0; i < 4; ++i) bytes[24 + i] = static_cast<std::byte>(length >> (8 * i));
    bytes.insert(bytes.end(), body_.begin(), body_.end());
    if (payload_bytes > 0) bytes.resize(message_header_bytes + detail::aligned(body_.size()) + payload_bytes);
    detail::repair_header(bytes);
    return bytes;
  }

 private:
  std::array<std::byte, message_header_bytes> header_{};
  Bytes body_;
};

/// A message that no peer of ours sends, and the answer to it.
struct Hostile {
  std::string name;
  ErrorCode code;
  Bytes bytes;
};

/// FAULTS 1 to 6 and 8 to 12, each as a request or reply with this id.
inline std::vector<Hostile> hostile_messages(MessageKind kind, std::uint64_t id) {
  constexpr std::int64_t big = std::int64_t{1} << 32;
  const auto start = [&] { return HandWritten(kind).id(id); };
  // One tensor of f32 over one storage of 64 bytes.
  const auto one = [&](const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides,
                       std::uint8_t dtype = 8, std::uint64_t offset = 0) {
    return start().storages({64}).u32(1).tensor(dtype, sizes, strides, 0, offset).finish(64);
  };
  const Bytes good = one({16}, {1});
  const auto with_header = [&](std::size_t at, auto number) {
    auto bytes = good;
    store(bytes, at, number);
    return with_fitting_header_checksum(std::move(bytes));
  };
  auto many = start().storages({4}).u32(5000);
  for (int i = 0; i < 5000; ++i) many.tensor(8, {}, {});
  auto deep = start().storages({}).u32(1);
  for (int i = 0; i < 12000; ++i) deep.u8(8).u32(1);
  auto flipped = good;
  flipped[message_header_bytes + 2] ^= std::byte{16};
  auto swapped = good;
  std::memcpy(swapped.data(), "NLPS", 4);
  return {
      {"a payload of 2^63 bytes", ErrorCode::too_large, with_header(32, std::uint64_t{1} << 63)},
      {"metadata of 2^32 bytes", ErrorCode::too_large, with_header(24, ~std::uint32_t{0})},
      {"a shape that wraps", ErrorCode::corrupt, one({big, big}, {0, 0})},
      {"a negative size", ErrorCode::corrupt, one({-1}, {1})},
      {"a rank of a million", ErrorCode::too_large,
       start().storages({64}).u32(1).u8(7).u8(8).u32(1000000).u64(0).finish(64)},
      {"a shape larger than its payload", ErrorCode::corrupt, one({17}, {1})},
      {"an unknown dtype", ErrorCode::incompatible, one({1}, {1}, 255)},
      {"a misaligned offset", ErrorCode::corrupt, one({2}, {1}, 8, 2)},
      {"a foreign byte order", ErrorCode::corrupt, swapped},
      {"a flipped bit", ErrorCode::corrupt, flipped},
      {"a tensor that repeats its bytes without end", ErrorCode::too_large,
       start().storages({4}).u32(1).tensor(8, {std::int64_t{1} << 40}, {0}).finish(4)},
      {"a packed tensor that would be a terabyte", ErrorCode::too_large,
       start().storages({8}, 1).u32(1).tensor(8, {2}, {std::int64_t{1} << 40}).finish(8)},
      {"deep nesting", ErrorCode::too_large, deep.finish()},
      {"a later version", ErrorCode::incompatible, with_header(4, std::uint16_t{5})},
      {"a million tensors", ErrorCode::corrupt, start().storages({4}).u32(1000000).tensor(8, {}, {}).finish(4)},
      {"more tensors than fit", ErrorCode::too_large, many.finish(4)},
  };
}

}  // namespace splitnet::testing
