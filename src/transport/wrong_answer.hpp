// SPDX-License-Identifier: Apache-2.0
// Whether what a peer sent answers a call, on roads where each answer comes to its own request. Private.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "splitnet/error.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// Why `message` is no answer to the request `id`. Nothing: it is one.
inline std::optional<Error> wrong_answer(const Message& message, std::uint64_t id, const std::string& endpoint) {
  const bool is_error = message.kind == MessageKind::error;
  if (!is_error && message.kind != MessageKind::reply) {
    return Error(ErrorCode::corrupt, "'" + endpoint + "' sent a request instead of a reply");
  }
  // What is said about a request that could not be read has no id.
  if (message.id != id && !(is_error && message.id == 0)) {
    return Error(ErrorCode::corrupt, "'" + endpoint + "' answered another request");
  }
  return std::nullopt;
}

}  // namespace splitnet::detail
