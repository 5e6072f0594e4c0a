// SPDX-License-Identifier: Apache-2.0
// Memory of the two sides of a connection: made and written here, or made by the peer and read here. Private.
#pragma once

#include <cstddef>
#include <span>

#include "descriptor.hpp"
#include "shm_layout.hpp"

namespace splitnet::detail {

/// A mapping that is undone once.
class ShmMapping {
 public:
  ShmMapping(int descriptor, std::size_t bytes, int protection);
  ~ShmMapping();
  ShmMapping(const ShmMapping&) = delete;
  ShmMapping& operator=(const ShmMapping&) = delete;
  [[nodiscard]] std::byte* data() const noexcept { return data_; }

 private:
  std::byte* data_;
  std::size_t bytes_;
};

/// Memory that this side writes: its size is sealed, and the descriptor that the peer gets can only read.
class OwnShmMemory {
 public:
  /// Takes address space; memory follows as it is used. Throws unavailable (no descriptors, no address space, no
  /// /proc).
  explicit OwnShmMemory(const ShmLayout& layout) : OwnShmMemory(layout, make_file(layout)) {}

  [[nodiscard]] const ShmLayout& layout() const noexcept { return layout_; }
  /// What the peer is sent; once.
  [[nodiscard]] Descriptor take_descriptor() noexcept { return std::move(for_peer_); }

  [[nodiscard]] ShmControl& control() const noexcept { return *reinterpret_cast<ShmControl*>(mapping_.data()); }
  [[nodiscard]] std::span<ShmReturnedLoan> returned() const noexcept {
    return {reinterpret_cast<ShmReturnedLoan*>(mapping_.data() + ShmLayout::returned_at), shm_max_loans};
  }
  [[nodiscard]] std::span<std::byte> ring() const noexcept {
    return {mapping_.data() + ShmLayout::ring_at, layout_.ring_bytes};
  }
  [[nodiscard]] std::span<std::byte> arena() const noexcept {
    return {mapping_.data() + layout_.arena_at(), layout_.arena_bytes};
  }
  /// Gives pages of the arena back to the system: they hold zeros then. Both are multiples of the size of a page.
  void drop(std::size_t arena_offset, std::size_t bytes) const noexcept;

 private:
  static Descriptor make_file(const ShmLayout& layout);
  OwnShmMemory(const ShmLayout& layout, const Descriptor& file);

  const ShmLayout layout_;
  Descriptor for_peer_;
  const ShmMapping mapping_;
};

/// Memory that the peer writes; it can't be written here.
class PeerShmMemory {
 public:
  /// Throws corrupt: not memory, not sealed, another size than `layout` has; unavailable: no address space.
  PeerShmMemory(const Descriptor& descriptor, const ShmLayout& layout)
      : layout_(layout), mapping_(checked(descriptor, layout), layout.total_bytes(), read_only) {}

  [[nodiscard]] const ShmLayout& layout() const noexcept { return layout_; }
  [[nodiscard]] const ShmControl& control() const noexcept {
    return *reinterpret_cast<const ShmControl*>(mapping_.data());
  }
  [[nodiscard]] std::span<const ShmReturnedLoan> returned() const noexcept {
    return {reinterpret_cast<const ShmReturnedLoan*>(mapping_.data() + ShmLayout::returned_at), shm_max_loans};
  }
  [[nodiscard]] std::span<const std::byte> ring() const noexcept {
    return {mapping_.data() + ShmLayout::ring_at, layout_.ring_bytes};
  }
  /// Not constant, because tensors are not; writing to it ends the process.
  [[nodiscard]] std::span<std::byte> arena() const noexcept {
    return {mapping_.data() + layout_.arena_at(), layout_.arena_bytes};
  }

 private:
  static const int read_only;
  static int checked(const Descriptor& descriptor, const ShmLayout& layout);

  const ShmLayout layout_;
  const ShmMapping mapping_;
};

}  // namespace splitnet::detail
