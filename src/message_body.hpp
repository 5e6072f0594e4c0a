// SPDX-License-Identifier: Apache-2.0
// The body of a message that has arrived, in one piece or in several.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "small_vector.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// Where a body lies. Its parts follow one another without gaps; each begins at the same place modulo
/// tensor_alignment_bytes in memory as in the body. A plain value.
class MessageBody {
 public:
  MessageBody() = default;
  /// In one piece.
  explicit MessageBody(const Storage& bytes) { append(bytes); }

  void append(const Storage& bytes) {
    parts_.push_back({bytes_, bytes});
    bytes_ += bytes.size_bytes();
  }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return bytes_; }
  /// The part that has these bytes; nothing when they are not in one part, or not there.
  [[nodiscard]] std::optional<Storage> find(std::size_t begin, std::size_t bytes) const;
  /// One byte, which must be there.
  [[nodiscard]] std::byte at(std::size_t offset) const;
  /// What lies behind `begin`, in order.
  [[nodiscard]] SmallVector<std::span<const std::byte>, 2> from(std::size_t begin) const;
  [[nodiscard]] bool is_aligned() const noexcept;

 private:
  struct Part {
    std::size_t begin = 0;
    Storage bytes;
  };
  /// The last part that begins at or before `offset`.
  [[nodiscard]] const Part* part_at(std::size_t offset) const;

  SmallVector<Part, 1> parts_;
  std::size_t bytes_ = 0;
};

/// As splitnet::decode, of a body in several parts. The first has the metadata, and is not foreign.
Message decode(std::span<const std::byte, message_header_bytes> header, const MessageBody& body,
               const MessageLimits& limits);

}  // namespace splitnet::detail
