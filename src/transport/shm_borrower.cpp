// SPDX-License-Identifier: Apache-2.0
#include "shm_borrower.hpp"

#include <cstring>
#include <string>
#include <utility>

namespace splitnet::detail {

Storage ShmBorrower::take(const ShmExtent& extent) {
  return may_hold(extent.bytes) ? hold(extent) : copy(extent);
}

bool ShmBorrower::may_hold(std::uint64_t bytes) {
  if (!in_place_) return false;
  const std::lock_guard lock(mutex_);
  const std::uint64_t most = peer_->layout().arena_bytes / 2;
  if (bytes > most || held_bytes_ > most - bytes || held_ >= shm_max_loans / 2) return false;
  held_bytes_ += bytes;
  ++held_;
  return true;
}

Storage ShmBorrower::hold(const ShmExtent& extent) {
  if (budget_ && !budget_->take(extent.bytes)) {
    {
      const std::lock_guard lock(mutex_);
      held_bytes_ -= extent.bytes;
      --held_;
      give_back(extent.loan);
    }
    throw Error(ErrorCode::overloaded, "message: " + std::to_string(extent.bytes) + " bytes more than the " +
                                           std::to_string(budget_->max_bytes()) + " that all requests may take");
  }
  std::byte* const data = peer_->arena().data() + extent.arena_offset;
  // When this throws, shared_ptr itself runs the deleter.
  std::shared_ptr<void> owner(data, [self = shared_from_this(), loan = extent.loan, bytes = extent.bytes](void*) {
    self->let_go(loan, bytes);
  });
  return Storage::adopt_foreign(data, extent.bytes, std::move(owner));
}

Storage ShmBorrower::copy(const ShmExtent& extent) {
  struct Return {
    ShmBorrower& to;
    const ShmExtent& extent;
    ~Return() { to.decline(extent); }
  } const when_done{*this, extent};
  Storage copied = pool_->take(extent.bytes, budget_);
  std::memcpy(copied.data(), peer_->arena().data() + extent.arena_offset, extent.bytes);
  return copied;
}

void ShmBorrower::decline(const ShmExtent& extent) noexcept {
  const std::lock_guard lock(mutex_);
  give_back(extent.loan);
}

void ShmBorrower::let_go(std::uint32_t loan, std::uint64_t bytes) noexcept {
  if (budget_) budget_->give_back(bytes);
  const std::lock_guard lock(mutex_);
  held_bytes_ -= bytes;
  --held_;
  give_back(loan);
}

/// Under the lock. There is a place: the peer knows no more loans than there are places.
void ShmBorrower::give_back(std::uint32_t loan) noexcept {
  memory_->returned()[returned_ % shm_max_loans].store(loan, std::memory_order_relaxed);
  memory_->control().returned.value.store(++returned_);
}

}  // namespace splitnet::detail
