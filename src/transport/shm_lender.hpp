// SPDX-License-Identifier: Apache-2.0
// The arena of this side, and what of it the peer is reading. Private to the shm transport.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "shm_arena.hpp"
#include "shm_memory.hpp"
#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// Bytes of the arena that the peer may read until it gives them back.
struct ShmLoan {
  std::uint32_t number = 0;        ///< Below shm_max_loans.
  std::uint64_t arena_offset = 0;  ///< A multiple of tensor_alignment_bytes.
};

/// Thread-safe. Lives as long as any storage that it allocated.
class ShmLender : public std::enable_shared_from_this<ShmLender> {
 public:
  ShmLender(std::shared_ptr<OwnShmMemory> memory, std::shared_ptr<const PeerShmMemory> peer, std::size_t kept_bytes);

  /// Of the arena; of ordinary memory when that is full, or when `bytes` are so few that they are copied anyway. Throws
  /// std::bad_alloc.
  [[nodiscard]] Storage allocate(std::size_t bytes);
  /// True when `data` is in the arena.
  [[nodiscard]] bool owns(const std::byte* data) const noexcept;

  /// Lends bytes that lie in the arena, from the boundary of tensor_alignment_bytes before them on; `keep` holds them.
  /// Nothing when too many loans are under way.
  std::optional<ShmLoan> lend(const std::byte* data, Storage keep);
  /// Lends a copy that begins `lead_bytes` behind such a boundary. Nothing when there is no room either.
  std::optional<ShmLoan> lend_copy(std::span<const std::byte> bytes, std::size_t lead_bytes);
  /// A loan that the peer was never told of, or has given back. False when there is no such loan.
  bool end(std::uint32_t number);
  /// Ends what the peer has given back meanwhile. Throws corrupt when it gives back what it does not have.
  void collect();
  [[nodiscard]] bool has_loans() const;

  /// The peer is gone: all loans end. What is still allocated keeps its bytes.
  void close();

 private:
  struct Loan {
    ShmArena::Block* copy = nullptr;
    Storage keep;  // Of bytes that were lent where they lay.
    bool is_lent = false;
    std::uint32_t next_free = no_number;
  };
  static constexpr std::uint32_t no_number = ~std::uint32_t{0};
  /// Under the lock. False when there is no number left.
  bool has_number();
  /// Under the lock, after has_number.
  std::uint32_t enter(ShmArena::Block* copy, Storage keep) noexcept;
  void free(ShmArena::Block* block) noexcept;

  const std::shared_ptr<OwnShmMemory> memory_;
  const std::shared_ptr<const PeerShmMemory> peer_;

  std::atomic<bool> is_collecting_{false};
  std::uint64_t collected_ = 0;  // Of whoever is collecting.

  mutable std::mutex mutex_;
  ShmArena arena_;
  std::vector<Loan> loans_;
  std::uint32_t first_free_ = no_number;
  std::size_t lent_ = 0;
  bool is_closed_ = false;
};

}  // namespace splitnet::detail
