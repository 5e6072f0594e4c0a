// SPDX-License-Identifier: Apache-2.0
// What lies where in memory that one side writes and the other one reads. Private to the shm transport.
//
//   ShmControl | numbers of loans given back | ring | arena
//
// Each side has one such piece of memory, which the other side can read and not write. Whatever is read in the other
// one's may change at any moment: it is read once, into a variable, and that is checked.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "splitnet/error.hpp"

namespace splitnet::detail {

/// What the writing side tells. Counters only grow. An epoch counts how often its side has gone to sleep: who sees a
/// new one after a change that the sleeper waits for wakes it, once for each epoch.
///
/// Nothing is missed: the sleeper stores its epoch and then looks for a change, the other side stores the change and
/// then looks at the epoch, all in the one order of sequentially consistent operations, so one of them sees the
/// other's.
struct ShmControl {
  struct alignas(64) Word {
    std::atomic<std::uint64_t> value{0};
  };
  Word produced;      ///< Bytes written into the ring.
  Word consumed;      ///< Bytes read from the other side's ring.
  Word returned;      ///< Loans given back to the other side.
  Word reader_epoch;  ///< Waits for `produced` of the other side.
  Word writer_epoch;  ///< Waits for `consumed` of the other side.
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(std::atomic<std::uint64_t>) == 8,
              "atomics in memory that two processes map, one of them only to read");

/// Loans that one side may have under way, and so places for numbers of returned ones: they can't run out.
inline constexpr std::size_t shm_max_loans = 4096;
using ShmReturnedLoan = std::atomic<std::uint32_t>;

/// Sizes, and places in bytes from the start. A plain value.
struct ShmLayout {
  std::uint64_t ring_bytes = std::uint64_t{128} << 10;  ///< A power of two.
  std::uint64_t arena_bytes = 0;                        ///< A multiple of shm_unit_bytes; 0: no arena.

  /// Multiple of all page sizes; the smallest ring.
  static constexpr std::uint64_t unit_bytes = 64 * 1024;
  static constexpr std::uint64_t returned_at = sizeof(ShmControl);
  static constexpr std::uint64_t ring_at = unit_bytes;
  [[nodiscard]] std::uint64_t arena_at() const noexcept { return ring_at + ring_bytes; }
  [[nodiscard]] std::uint64_t total_bytes() const noexcept { return arena_at() + arena_bytes; }

  /// Throws corrupt for sizes that no side has, too_large.
  void check(std::uint64_t max_arena_bytes) const {
    constexpr std::uint64_t max_ring_bytes = std::uint64_t{16} << 20;
    if (ring_bytes < unit_bytes || ring_bytes > max_ring_bytes || (ring_bytes & (ring_bytes - 1)) != 0) {
      throw Error(ErrorCode::corrupt, "shared memory: a ring of " + std::to_string(ring_bytes) +
                                          " bytes, expected a power of two from " + std::to_string(unit_bytes) +
                                          " to " + std::to_string(max_ring_bytes));
    }
    if (arena_bytes % unit_bytes != 0) {
      throw Error(ErrorCode::corrupt, "shared memory: an arena of " + std::to_string(arena_bytes) +
                                          " bytes, expected a multiple of " + std::to_string(unit_bytes));
    }
    if (arena_bytes > max_arena_bytes) {
      throw Error(ErrorCode::too_large, "shared memory: the peer's arena has " + std::to_string(arena_bytes) +
                                            " bytes, at most " + std::to_string(max_arena_bytes) + " are taken");
    }
  }
  friend bool operator==(const ShmLayout&, const ShmLayout&) = default;
};
static_assert(ShmLayout::returned_at + shm_max_loans * sizeof(ShmReturnedLoan) <= ShmLayout::ring_at);

}  // namespace splitnet::detail
