// SPDX-License-Identifier: Apache-2.0
#include "shm_outgoing.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace splitnet::detail {

ShmOutgoing::ShmOutgoing(EncodedMessage message, ShmLender& lender) : message_(std::move(message)) {
  const auto first = message_.buffers.front();
  pieces_.reserve(message_.buffers.size() + 1);
  pieces_.emplace_back();  // The head, when it is known.
  pieces_.push_back(first.subspan(message_header_bytes));
  std::size_t body_begin = pieces_.back().size();
  try {
    for (std::size_t i = 1; i < message_.buffers.size(); ++i) {
      lend_or_add(message_.buffers[i], body_begin, lender);
      body_begin += message_.buffers[i].size();
    }
    write_head(first.first(message_header_bytes));
  } catch (...) {
    for (const auto& extent : extents_) lender.end(extent.loan);
    throw;
  }
}

void ShmOutgoing::lend_or_add(std::span<const std::byte> bytes, std::size_t body_begin, ShmLender& lender) {
  if (bytes.size() >= shm_smallest_loan_bytes) {
    // First, so that nothing throws between lending and noting it down.
    if (extents_.size() == extents_.capacity()) extents_.reserve(2 * extents_.size() + 2);
    // What stands in front of it, up to the boundary, is zeros on other roads. Here nobody looks at it.
    const std::size_t lead = body_begin % tensor_alignment_bytes;
    if (const auto loan = lend(bytes, lead, lender)) {
      drop_last(lead);
      extents_.push_back({body_begin - lead, lead + bytes.size(), loan->arena_offset, loan->number, 0});
      return;
    }
  }
  pieces_.push_back(bytes);
}

std::optional<ShmLoan> ShmOutgoing::lend(std::span<const std::byte> bytes, std::size_t lead_bytes,
                                         ShmLender& lender) const {
  if (lender.owns(bytes.data())) {
    const auto keeper = std::find_if(message_.keep_alive.begin(), message_.keep_alive.end(), [&](const auto& storage) {
      return storage.data() <= bytes.data() && bytes.data() < storage.data() + storage.size_bytes();
    });
    if (keeper != message_.keep_alive.end()) return lender.lend(bytes.data(), *keeper);
  }
  return lender.lend_copy(bytes, lead_bytes);
}

void ShmOutgoing::drop_last(std::size_t bytes) noexcept {
  auto& last = pieces_.back();
  last = last.first(last.size() - bytes);
}

void ShmOutgoing::write_head(std::span<const std::byte> header) {
  const std::array<std::uint32_t, 2> words{static_cast<std::uint32_t>(extents_.size()), 0};
  const auto extents = std::as_bytes(std::span(extents_));
  head_.resize(shm_frame_head_bytes + extents.size());
  std::memcpy(head_.data(), words.data(), sizeof words);
  std::memcpy(head_.data() + sizeof words, header.data(), header.size());
  if (!extents.empty()) std::memcpy(head_.data() + shm_frame_head_bytes, extents.data(), extents.size());
  pieces_.front() = head_;
}

bool ShmOutgoing::write_to(ShmRingWriter& ring) {
  for (; piece_ < pieces_.size(); ++piece_, written_ = 0) {
    const auto left = pieces_[piece_].subspan(written_);
    const std::size_t bytes = std::min(left.size(), ring.room(left.size()));
    ring.write(left.first(bytes));
    written_ += bytes;
    if (bytes < left.size()) return false;
  }
  return true;
}

}  // namespace splitnet::detail
