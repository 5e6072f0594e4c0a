// SPDX-License-Identifier: Apache-2.0
#include "shm_lender.hpp"

#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <utility>

#include "shm_frame.hpp"

namespace splitnet::detail {
namespace {

std::size_t page_bytes() {
  return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

ShmLender::ShmLender(std::shared_ptr<OwnShmMemory> memory, std::shared_ptr<const PeerShmMemory> peer,
                     std::size_t kept_bytes)
    : memory_(std::move(memory)),
      peer_(std::move(peer)),
      arena_(memory_->arena().size(), kept_bytes, page_bytes(),
             [memory = memory_.get()](std::size_t offset, std::size_t bytes) { memory->drop(offset, bytes); }) {}

Storage ShmLender::allocate(std::size_t bytes) {
  ShmArena::Block* block = nullptr;
  if (bytes >= shm_smallest_loan_bytes) {
    try {
      collect();
    } catch (const Error&) {  // The next message fails of it.
    }
    const std::lock_guard lock(mutex_);
    block = arena_.allocate(bytes);
  }
  if (block == nullptr) return Storage::allocate(bytes);
  // When this throws, shared_ptr itself runs the deleter.
  std::shared_ptr<void> owner(
      block, [self = shared_from_this()](void* released) { self->free(static_cast<ShmArena::Block*>(released)); });
  return Storage::adopt(memory_->arena().data() + block->offset, bytes, std::move(owner));
}

void ShmLender::free(ShmArena::Block* block) noexcept {
  const std::lock_guard lock(mutex_);
  arena_.free(block);
}

bool ShmLender::owns(const std::byte* data) const noexcept {
  const auto arena = memory_->arena();
  return std::less_equal<>()(arena.data(), data) && std::less<>()(data, arena.data() + arena.size());
}

bool ShmLender::has_number() {
  if (is_closed_) return false;
  if (first_free_ != no_number) return true;
  if (loans_.size() == shm_max_loans) return false;
  loans_.emplace_back();
  first_free_ = static_cast<std::uint32_t>(loans_.size() - 1);
  return true;
}

std::uint32_t ShmLender::enter(ShmArena::Block* copy, Storage keep) noexcept {
  const auto number = first_free_;
  auto& loan = loans_[number];
  first_free_ = std::exchange(loan.next_free, no_number);
  loan.copy = copy;
  loan.keep = std::move(keep);
  loan.is_lent = true;
  ++lent_;
  return number;
}

std::optional<ShmLoan> ShmLender::lend(const std::byte* data, Storage keep) {
  const auto offset = static_cast<std::uint64_t>(data - memory_->arena().data());
  const std::lock_guard lock(mutex_);
  if (!has_number()) return std::nullopt;
  return ShmLoan{enter(nullptr, std::move(keep)), offset / tensor_alignment_bytes * tensor_alignment_bytes};
}

std::optional<ShmLoan> ShmLender::lend_copy(std::span<const std::byte> bytes, std::size_t lead_bytes) {
  ShmArena::Block* block = nullptr;
  ShmLoan loan;
  {
    const std::lock_guard lock(mutex_);
    if (!has_number()) return std::nullopt;
    block = arena_.allocate(lead_bytes + bytes.size());
    if (block == nullptr) return std::nullopt;
    loan = {enter(block, {}), block->offset};
  }
  std::memcpy(memory_->arena().data() + loan.arena_offset + lead_bytes, bytes.data(), bytes.size());
  return loan;
}

bool ShmLender::end(std::uint32_t number) {
  Storage kept;  // Its last handle frees a block, which takes the lock: it goes after that.
  const std::lock_guard lock(mutex_);
  if (is_closed_) return true;
  if (number >= loans_.size() || !loans_[number].is_lent) return false;
  auto& loan = loans_[number];
  if (loan.copy != nullptr) arena_.free(std::exchange(loan.copy, nullptr));
  kept = std::exchange(loan.keep, {});
  loan.is_lent = false;
  loan.next_free = std::exchange(first_free_, number);
  --lent_;
  return true;
}

void ShmLender::collect() {
  // One thread is enough; and ending a loan may run code of the user's, which may come here.
  if (is_collecting_.exchange(true)) return;
  struct Done {
    std::atomic<bool>& flag;
    ~Done() { flag = false; }
  } const done{is_collecting_};
  const auto returned = peer_->control().returned.value.load();
  if (returned - collected_ > shm_max_loans) {
    throw Error(ErrorCode::corrupt, "shared memory of the peer: " + std::to_string(returned - collected_) +
                                        " loans given back at once, expected at most " + std::to_string(shm_max_loans));
  }
  for (; collected_ != returned; ++collected_) {
    const auto number = peer_->returned()[collected_ % shm_max_loans].load(std::memory_order_relaxed);
    if (end(number)) continue;
    throw Error(ErrorCode::corrupt,
                "shared memory of the peer: it gives back loan " + std::to_string(number) + ", which it does not have");
  }
}

bool ShmLender::has_loans() const {
  const std::lock_guard lock(mutex_);
  return lent_ > 0;
}

void ShmLender::close() {
  std::vector<Loan> loans;  // As `kept` above.
  const std::lock_guard lock(mutex_);
  if (std::exchange(is_closed_, true)) return;
  arena_.retire();
  loans.swap(loans_);
  lent_ = 0;
  for (auto& loan : loans) {
    if (loan.copy != nullptr) arena_.free(std::exchange(loan.copy, nullptr));
  }
}

}  // namespace splitnet::detail
