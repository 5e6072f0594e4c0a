// SPDX-License-Identifier: Apache-2.0
#include "shm_arena.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

namespace splitnet::detail {
namespace {

// How many blocks of about the right size are looked at before a larger one is split.
constexpr int kMostLookedAt = 32;

}  // namespace

ShmArena::ShmArena(std::size_t bytes, std::size_t kept_bytes, std::size_t page_bytes, Drop drop)
    : kept_bytes_(kept_bytes), page_bytes_(page_bytes), drop_(std::move(drop)) {
  if (bytes == 0) return;
  first_ = new Block();
  first_->bytes = bytes;
  first_->is_free = true;
  link(first_);
}

ShmArena::~ShmArena() {
  while (first_ != nullptr) delete std::exchange(first_, first_->upper);
}

std::size_t ShmArena::class_of(std::size_t bytes) const noexcept {
  return std::min(static_cast<std::size_t>(std::bit_width(bytes / page_bytes_)), size_classes) - 1;
}

ShmArena::List& ShmArena::list_of(const Block& block) noexcept {
  return free_[block.is_warm ? 1 : 0][class_of(block.bytes)];
}

// The youngest goes first: it is the warmest in the cache.
void ShmArena::link(Block* block) noexcept {
  List& list = list_of(*block);
  block->previous = nullptr;
  block->next = list;
  if (list != nullptr) list->previous = block;
  list = block;
  if (block->is_warm) warm_bytes_ += block->bytes;
}

void ShmArena::unlink(Block* block) noexcept {
  (block->previous != nullptr ? block->previous->next : list_of(*block)) = block->next;
  if (block->next != nullptr) block->next->previous = block->previous;
  if (block->is_warm) warm_bytes_ -= block->bytes;
}

ShmArena::Block* ShmArena::find(bool warm, std::size_t bytes) const noexcept {
  const auto& lists = free_[warm ? 1 : 0];
  const std::size_t own = class_of(bytes);
  int looked_at = 0;
  for (auto* block = lists[own]; block != nullptr && looked_at < kMostLookedAt; block = block->next, ++looked_at) {
    if (block->bytes >= bytes) return block;
  }
  for (std::size_t larger = own + 1; larger < size_classes; ++larger) {
    if (lists[larger] != nullptr) return lists[larger];
  }
  // The last class has no upper end, and the own one may have had more blocks than were looked at.
  for (auto* block = lists[own]; block != nullptr; block = block->next) {
    if (block->bytes >= bytes) return block;
  }
  return nullptr;
}

ShmArena::Block* ShmArena::take(Block* block, std::size_t bytes) {
  // Made first: it may throw.
  auto rest = block->bytes > bytes ? std::make_unique<Block>() : nullptr;
  unlink(block);
  block->is_free = false;
  if (rest) {
    rest->offset = block->offset + bytes;
    rest->bytes = block->bytes - bytes;
    rest->is_free = true;
    rest->is_warm = block->is_warm;
    rest->lower = block;
    rest->upper = block->upper;
    if (rest->upper != nullptr) rest->upper->lower = rest.get();
    block->upper = rest.get();
    block->bytes = bytes;
    link(rest.release());
  }
  used_bytes_ += block->bytes;
  return block;
}

ShmArena::Block* ShmArena::allocate(std::size_t bytes) {
  if (is_retired_ || first_ == nullptr || bytes > PTRDIFF_MAX) return nullptr;
  const std::size_t whole = (bytes + page_bytes_ - 1) / page_bytes_ * page_bytes_;
  do {
    for (const bool warm : {true, false}) {
      if (auto* block = find(warm, whole)) return take(block, whole);
    }
    // Warm and cold neighbours may be large enough together.
  } while (cool_all());
  return nullptr;
}

void ShmArena::free(Block* block) noexcept {
  used_bytes_ -= block->bytes;
  block->is_free = true;
  block->is_warm = true;
  if (!is_retired_ && (block->bytes > kept_bytes_ || warm_bytes_ > kept_bytes_ - block->bytes)) cool(block);
  link(merge(block));
}

/// Of a block that is in no list.
void ShmArena::cool(Block* block) noexcept {
  drop_(block->offset, block->bytes);
  block->is_warm = false;
}

/// False when all were cold.
bool ShmArena::cool_all() noexcept {
  bool some = false;
  for (auto& list : free_[1]) {
    while (list != nullptr) {
      auto* const block = list;
      unlink(block);
      cool(block);
      link(merge(block));
      some = true;
    }
  }
  return some;
}

/// With free neighbours of the same temperature; it is in no list before and behind.
ShmArena::Block* ShmArena::merge(Block* block) noexcept {
  const auto fits = [&](const Block* other) {
    return other != nullptr && other->is_free && other->is_warm == block->is_warm;
  };
  // Both ways the upper one of two goes.
  const auto swallow_upper = [](Block* lower) {
    auto* const upper = lower->upper;
    lower->bytes += upper->bytes;
    lower->upper = upper->upper;
    if (lower->upper != nullptr) lower->upper->lower = lower;
    delete upper;
  };
  if (fits(block->upper)) {
    unlink(block->upper);
    swallow_upper(block);
  }
  if (fits(block->lower)) {
    block = block->lower;
    unlink(block);
    swallow_upper(block);
  }
  return block;
}

}  // namespace splitnet::detail
