// SPDX-License-Identifier: Apache-2.0
// The two ends of a ring of bytes between two processes. Private to the shm transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "shm_memory.hpp"

namespace splitnet::detail {

/// Writes the ring of this side. Not thread-safe.
class ShmRingWriter {
 public:
  ShmRingWriter(std::shared_ptr<OwnShmMemory> memory, std::shared_ptr<const PeerShmMemory> peer)
      : memory_(std::move(memory)), peer_(std::move(peer)) {}

  /// Bytes that fit now; asks the peer only when fewer than `wanted` are known to. Throws corrupt when the peer claims
  /// to have read what was not there.
  std::size_t room(std::size_t wanted);
  /// No more than there is room for. The peer sees it with `publish`.
  void write(std::span<const std::byte> bytes) noexcept;
  /// True when the peer must be woken.
  [[nodiscard]] bool publish() noexcept;
  /// Before waiting for the peer to read on. False: it has read meanwhile. Throws as room.
  [[nodiscard]] bool may_wait();

  /// Bytes written so far, and of these bytes known to have been read.
  [[nodiscard]] std::uint64_t written() const noexcept { return written_; }
  [[nodiscard]] std::uint64_t read_by_peer();

 private:
  const std::shared_ptr<OwnShmMemory> memory_;
  const std::shared_ptr<const PeerShmMemory> peer_;
  std::uint64_t written_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t consumed_ = 0;  // By the peer, when it was last asked.
  std::uint64_t woken_epoch_ = 0;
  std::uint64_t wait_epoch_ = 0;
};

/// Reads the peer's ring. Not thread-safe.
class ShmRingReader {
 public:
  ShmRingReader(std::shared_ptr<OwnShmMemory> memory, std::shared_ptr<const PeerShmMemory> peer)
      : memory_(std::move(memory)), peer_(std::move(peer)) {}

  /// Copies as many bytes as there are and fit. Throws corrupt when the peer claims to have written more than the ring
  /// holds.
  std::size_t read(std::span<std::byte> to);
  /// Lets the peer use what has been read; true when it must be woken.
  [[nodiscard]] bool publish() noexcept;
  /// Read and not published.
  [[nodiscard]] std::uint64_t held_bytes() const noexcept { return read_ - published_; }
  /// Before waiting for the peer to write. False: it has written meanwhile. Throws as read.
  [[nodiscard]] bool may_wait();

 private:
  std::uint64_t look();

  const std::shared_ptr<OwnShmMemory> memory_;
  const std::shared_ptr<const PeerShmMemory> peer_;
  std::uint64_t read_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t produced_ = 0;  // By the peer, when it was last looked at.
  std::uint64_t woken_epoch_ = 0;
  std::uint64_t wait_epoch_ = 0;
};

}  // namespace splitnet::detail
