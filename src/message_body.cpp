// SPDX-License-Identifier: Apache-2.0
#include "message_body.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace splitnet::detail {

const MessageBody::Part* MessageBody::part_at(std::size_t offset) const {
  const auto behind = std::upper_bound(parts_.begin(), parts_.end(), offset,
                                       [](std::size_t at, const Part& part) { return at < part.begin; });
  return behind == parts_.begin() ? nullptr : &*std::prev(behind);
}

std::optional<Storage> MessageBody::find(std::size_t begin, std::size_t bytes) const {
  const auto* const part = part_at(begin);
  if (part == nullptr) return std::nullopt;
  const std::size_t offset = begin - part->begin;
  if (offset > part->bytes.size_bytes() || bytes > part->bytes.size_bytes() - offset) return std::nullopt;
  return part->bytes.slice(offset, bytes);
}

std::byte MessageBody::at(std::size_t offset) const {
  const auto* const part = part_at(offset);
  return part->bytes.data()[offset - part->begin];
}

SmallVector<std::span<const std::byte>, 2> MessageBody::from(std::size_t begin) const {
  SmallVector<std::span<const std::byte>, 2> spans;
  for (const auto& part : parts_) {
    const std::size_t end = part.begin + part.bytes.size_bytes();
    if (end <= begin) continue;
    const std::size_t skip = std::max(begin, part.begin) - part.begin;
    spans.emplace_back(part.bytes.data() + skip, part.bytes.size_bytes() - skip);
  }
  return spans;
}

bool MessageBody::is_aligned() const noexcept {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) {
    return (reinterpret_cast<std::uintptr_t>(part.bytes.data()) - part.begin) % tensor_alignment_bytes == 0;
  });
}

}  // namespace splitnet::detail
