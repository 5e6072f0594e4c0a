// SPDX-License-Identifier: Apache-2.0
// A message on its way into the ring of this side. Private to the shm transport.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "shm_frame.hpp"
#include "shm_lender.hpp"
#include "shm_ring.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// Lends what is large: from where it lies when that is the arena, else a copy. The rest goes through the ring, and so
/// does what there is no room for in the arena. Not thread-safe.
class ShmOutgoing {
 public:
  ShmOutgoing(EncodedMessage message, ShmLender& lender);
  ShmOutgoing(ShmOutgoing&&) = default;
  ShmOutgoing& operator=(ShmOutgoing&&) = default;

  /// Of the whole message, wherever it lies.
  [[nodiscard]] std::size_t size_bytes() const noexcept { return message_.size_bytes; }
  /// Writes what fits; true when that was the last of it. Throws as ShmRingWriter::room.
  bool write_to(ShmRingWriter& ring);

 private:
  void lend_or_add(std::span<const std::byte> bytes, std::size_t body_begin, ShmLender& lender);
  void drop_last(std::size_t bytes) noexcept;
  std::optional<ShmLoan> lend(std::span<const std::byte> bytes, std::size_t lead_bytes, ShmLender& lender) const;
  void write_head(std::span<const std::byte> header);

  EncodedMessage message_;
  std::vector<ShmExtent> extents_;
  std::vector<std::byte> head_;
  std::vector<std::span<const std::byte>> pieces_;  // What goes through the ring behind the head.
  std::size_t piece_ = 0;                           // The next to be written,
  std::size_t written_ = 0;                         // and how much of it has been.
};

}  // namespace splitnet::detail
