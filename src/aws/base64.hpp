// SPDX-License-Identifier: Apache-2.0
// RFC 4648: events of Lambda are JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "splitnet/message.hpp"
#include "transport/buffer_pool.hpp"

namespace splitnet::detail {

constexpr std::size_t base64_size(std::size_t bytes) noexcept {
  return (bytes + 2) / 3 * 4;
}
/// What `message` is on the wire, in one run, to where base64_size of it is free, and one more for a zero.
void write_base64(char* text, const EncodedMessage& message);
/// In memory of the pool, on a 64-byte boundary. Nothing: it is not base64. Throws std::bad_alloc.
std::optional<Storage> decode_base64(std::string_view text, BufferPool& pool);

}  // namespace splitnet::detail
