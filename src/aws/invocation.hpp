// SPDX-License-Identifier: Apache-2.0
// How a message travels in an invocation of Lambda, there and back (docs/lambda.md):
//   {"splitnet":"BASE64"}               the bytes of docs/wire_format.md
//   {"splitnet_at":"s3://bucket/key"}   the same in an object, where it would be too large
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "aws/base64.hpp"
#include "splitnet/message.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// Lambda takes and gives no more at once: "Lambda quotas" has 6 MB each for synchronous invocations.
inline constexpr std::size_t max_invocation_bytes = 6'291'456;

std::size_t invocation_size(const EncodedMessage& message) noexcept;
/// In the memory of `text`.
std::string invocation_of(const EncodedMessage& message, std::string text = {});
std::string invocation_at(const std::string& url);

/// The message's bytes, or where they are. Throws corrupt: neither.
std::variant<Storage, std::string> read_invocation(std::string_view text, BufferPool& pool);

/// Header and body in one storage on a 64-byte boundary, whose bytes the tensors keep. Throws as decode.
Message decode_whole(const Storage& bytes, const MessageLimits& limits);
/// What such a storage has, where it is the answer to the request `id`; else the error of `wrong_answer`. Throws as
/// decode.
CallResult answer_in(const Storage& bytes, const MessageLimits& limits, std::uint64_t id, const std::string& endpoint);
/// What `message` is on the wire, as an object of a store.
std::string joined(const EncodedMessage& message);
/// A copy in memory of the pool.
Storage stored(std::string_view bytes, BufferPool& pool);

}  // namespace splitnet::detail
