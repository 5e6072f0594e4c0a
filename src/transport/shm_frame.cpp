// SPDX-License-Identifier: Apache-2.0
#include "shm_frame.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace splitnet::detail {
namespace {

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "shared memory of the peer: " + what);
}

/// The first place at or behind `from` that is the same modulo the alignment as `like`.
std::size_t aligned_like(std::size_t from, std::size_t like) {
  return from + (like - from) % tensor_alignment_bytes;
}

void check_extent(const ShmExtent& extent, std::uint64_t from, std::uint64_t body_bytes, std::uint64_t arena_bytes) {
  if (extent.body_begin % tensor_alignment_bytes != 0 || extent.arena_offset % tensor_alignment_bytes != 0) {
    corrupt("an extent from byte " + std::to_string(extent.arena_offset) + " of the arena to byte " +
            std::to_string(extent.body_begin) + " of the body, expected multiples of " +
            std::to_string(tensor_alignment_bytes));
  }
  if (extent.body_begin < from || extent.body_begin > body_bytes || extent.bytes == 0 ||
      extent.bytes > body_bytes - extent.body_begin) {
    corrupt("an extent of " + std::to_string(extent.bytes) + " bytes at byte " + std::to_string(extent.body_begin) +
            ", expected one in bytes " + std::to_string(from) + " … " + std::to_string(body_bytes) + " of the body");
  }
  if (extent.arena_offset > arena_bytes || extent.bytes > arena_bytes - extent.arena_offset) {
    corrupt("an extent of " + std::to_string(extent.bytes) + " bytes at byte " + std::to_string(extent.arena_offset) +
            " of an arena of " + std::to_string(arena_bytes));
  }
  if (extent.loan >= shm_max_loans || extent.reserved != 0) {
    corrupt("an extent with loan " + std::to_string(extent.loan) + ", expected less than " +
            std::to_string(shm_max_loans));
  }
}

}  // namespace

std::span<std::byte> ShmFrameReader::space() noexcept {
  std::span<std::byte> all(head_);
  if (stage_ == Stage::extents) all = std::as_writable_bytes(std::span(frame_.extents));
  if (stage_ == Stage::rest) {
    if (frame_.refused) return all.first(std::min(all.size(), rest_bytes_ - filled_));
    all = {frame_.rest[part_].data(), frame_.rest[part_].size_bytes()};
  }
  return all.subspan(filled_);
}

void ShmFrameReader::filled(std::size_t bytes) noexcept {
  filled_ += bytes;
}

void ShmFrameReader::read_head() {
  std::array<std::uint32_t, 2> words{};
  std::memcpy(words.data(), head_.data(), sizeof words);
  std::memcpy(frame_.header_bytes.data(), head_.data() + sizeof words, message_header_bytes);
  frame_.header = decode_header(frame_.header_bytes, limits_);
  if (words[0] > shm_max_loans || words[1] != 0) {
    corrupt(std::to_string(words[0]) + " extents (" + std::to_string(words[1]) + "), expected at most " +
            std::to_string(shm_max_loans) + " (0)");
  }
  frame_.extents.resize(words[0]);
}

void ShmFrameReader::check_extents() const {
  std::uint64_t from = frame_.header.metadata_bytes;
  for (const auto& extent : frame_.extents) {
    check_extent(extent, from, frame_.header.body_bytes(), arena_bytes_);
    from = extent.body_begin + extent.bytes;
  }
}

void ShmFrameReader::make_room() {
  try {
    place_rest();
  } catch (const Error& error) {
    frame_.refused.emplace(error);
  } catch (const std::bad_alloc&) {
    frame_.refused.emplace(ErrorCode::overloaded, "message: no memory for its body of " +
                                                      std::to_string(frame_.header.body_bytes()) + " bytes");
  }
  rest_bytes_ = frame_.header.body_bytes();
  for (const auto& extent : frame_.extents) rest_bytes_ -= extent.bytes;
}

/// One piece of memory for all parts of the rest.
void ShmFrameReader::place_rest() {
  std::vector<std::pair<std::size_t, std::size_t>> places;  // In that memory: begin, bytes.
  std::size_t end = 0;
  std::size_t from = 0;
  const auto add = [&](std::size_t to) {
    const std::size_t begin = aligned_like(end, from);
    places.emplace_back(begin, to - from);
    end = begin + (to - from);
  };
  for (const auto& extent : frame_.extents) {
    add(extent.body_begin);
    from = extent.body_begin + extent.bytes;
  }
  add(frame_.header.body_bytes());
  const Storage memory = pool_->take(end, budget_);
  for (const auto& [begin, bytes] : places) frame_.rest.push_back(memory.slice(begin, bytes));
}

bool ShmFrameReader::is_complete() noexcept {
  if (frame_.refused) return filled_ == rest_bytes_;
  while (part_ < frame_.rest.size() && filled_ == frame_.rest[part_].size_bytes()) {
    ++part_;
    filled_ = 0;
  }
  return part_ == frame_.rest.size();
}

std::optional<ShmFrameReader::Frame> ShmFrameReader::next() {
  if (stage_ == Stage::head) {
    if (filled_ < head_.size()) return std::nullopt;
    read_head();
    stage_ = Stage::extents;
    filled_ = 0;
  }
  if (stage_ == Stage::extents) {
    if (filled_ < frame_.extents.size() * sizeof(ShmExtent)) return std::nullopt;
    check_extents();
    make_room();
    stage_ = Stage::rest;
    part_ = 0;
    filled_ = 0;
  }
  if (!is_complete()) return std::nullopt;
  stage_ = Stage::head;
  filled_ = 0;
  return std::exchange(frame_, {});
}

}  // namespace splitnet::detail
