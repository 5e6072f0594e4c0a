// SPDX-License-Identifier: Apache-2.0
// The peer's arena, and what of it is being read here. Private to the shm transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "buffer_pool.hpp"
#include "shm_frame.hpp"
#include "shm_memory.hpp"

namespace splitnet::detail {

/// Thread-safe. Lives as long as any storage that it gave.
class ShmBorrower : public std::enable_shared_from_this<ShmBorrower> {
 public:
  /// `in_place`: what the peer lends is used where it lies; otherwise all of it is copied. Both count against `budget`,
  /// if there is one.
  ShmBorrower(std::shared_ptr<OwnShmMemory> memory, std::shared_ptr<const PeerShmMemory> peer,
              std::shared_ptr<BufferPool> pool, std::shared_ptr<ByteBudget> budget, bool in_place)
      : memory_(std::move(memory)),
        peer_(std::move(peer)),
        pool_(std::move(pool)),
        budget_(std::move(budget)),
        in_place_(in_place) {}

  /// An extent that has been checked. Foreign bytes, given back when their last handle goes; or a copy, when half of
  /// the peer's arena is held here already: whoever keeps what he received must not stop the peer. Throws
  /// std::bad_alloc, overloaded; then the loan has been given back.
  Storage take(const ShmExtent& extent);
  /// Gives a loan back unseen.
  void decline(const ShmExtent& extent) noexcept;

 private:
  Storage hold(const ShmExtent& extent);
  Storage copy(const ShmExtent& extent);
  bool may_hold(std::uint64_t bytes);
  void let_go(std::uint32_t loan, std::uint64_t bytes) noexcept;
  void give_back(std::uint32_t loan) noexcept;

  const std::shared_ptr<OwnShmMemory> memory_;
  const std::shared_ptr<const PeerShmMemory> peer_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<ByteBudget> budget_;
  const bool in_place_;

  std::mutex mutex_;
  std::uint64_t held_bytes_ = 0;
  std::size_t held_ = 0;
  std::uint64_t returned_ = 0;
};

}  // namespace splitnet::detail
