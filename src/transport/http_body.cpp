// SPDX-License-Identifier: Apache-2.0
#include "http_body.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "../message_wire.hpp"

namespace splitnet::detail {

HttpBody::HttpBody(const MessageLimits& limits, std::shared_ptr<BufferPool> pool, std::shared_ptr<ByteBudget> budget,
                   std::optional<std::uint64_t> length)
    : limits_(limits), pool_(std::move(pool)), budget_(std::move(budget)), length_(length) {
  if (!length_) return;
  if (*length_ > limits_.max_message_bytes) {
    throw Error(ErrorCode::too_large, "http: a body of " + std::to_string(*length_) + " bytes, at most " +
                                          std::to_string(limits_.max_message_bytes) + " are taken");
  }
  if (*length_ < message_header_bytes) {
    throw Error(ErrorCode::corrupt, "http: a body of " + std::to_string(*length_) +
                                        " bytes is no splitnet message, which has " +
                                        std::to_string(message_header_bytes) + " at least");
  }
}

std::span<std::byte> HttpBody::space() noexcept {
  if (!has_header_) return std::span(frame_.header_bytes).subspan(filled_);
  return {frame_.body.data() + filled_, frame_.header.body_bytes() - filled_};
}

void HttpBody::filled(std::size_t bytes) {
  filled_ += bytes;
  if (has_header_) return;
  // Something else of any length ("<html>") would otherwise be waited for until it is as long as a header.
  if (std::memcmp(frame_.header_bytes.data(), message_magic.data(), std::min(filled_, message_magic.size())) != 0) {
    throw Error(ErrorCode::corrupt, "http: the body is not a splitnet message (wrong magic)");
  }
  if (filled_ == message_header_bytes) read_header();
}

void HttpBody::read_header() {
  frame_.header = decode_header(frame_.header_bytes, limits_);
  const std::size_t all = message_header_bytes + frame_.header.body_bytes();
  if (length_ && *length_ != all) {
    throw Error(ErrorCode::corrupt, "http: a body of " + std::to_string(*length_) + " bytes with a message of " +
                                        std::to_string(all) + " bytes");
  }
  try {
    frame_.body = pool_->take(frame_.header.body_bytes(), budget_);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::overloaded,
                "message: no memory for its body of " + std::to_string(frame_.header.body_bytes()) + " bytes");
  }
  has_header_ = true;
  filled_ = 0;
}

}  // namespace splitnet::detail
