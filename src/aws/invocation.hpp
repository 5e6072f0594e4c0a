// SPDX-License-Identifier: Apache-2.0
// How a message travels in an invocation of Lambda, there and back (docs/lambda.md):
//   {"splitnet":"BASE64"}               the bytes of docs/wire_format.md
//   {"splitnet_at":"s3://bucket/key"}   the same in an object, where it would be too large
#pragma once

#include <string>
#include <variant>

#include "aws/base64.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// Lambda takes and gives no more at once ("Lambda quotas": 6 MB each, for synchronous invocations).
inline constexpr std::size_t max_invocation_bytes = 6'291'556;

std::size_t invocation_size(const EncodedMessage& message) noexcept;
std::string invocation_of(const EncodedMessage& message);
std::string invocation_at(const std::string& url);

/// The message's bytes, or where they are. Throws corrupt: neither.
std::variant<Storage, std::string> read_invocation(std::string text);

/// Header and body in one storage on a 64-byte boundary, whose bytes the tensors keep. Throws as decode.
Message decode_whole(const Storage& bytes, const MessageLimits& limits);
/// Of bytes that lie anywhere; a copy.
Storage stored(std::string_view bytes);

}  // namespace splitnet::detail
