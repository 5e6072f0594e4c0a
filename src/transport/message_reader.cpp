// SPDX-License-Identifier: Apache-2.0
#include "message_reader.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "../message_wire.hpp"

namespace splitnet::detail {

std::span<std::byte> MessageReader::space() noexcept {
  if (frame_ && frame_->refused) {
    return {staging_.data(), std::min(staging_.size(), frame_->header.body_bytes() - body_filled_)};
  }
  if (frame_) {
    return {frame_->body.data() + body_filled_, frame_->header.body_bytes() - body_filled_};
  }
  return {staging_.data() + end_, staging_.size() - end_};
}

void MessageReader::filled(std::size_t bytes) noexcept {
  (frame_ ? body_filled_ : end_) += bytes;
}

// Half a header of another protocol ("GET / HTTP/1.1") would otherwise be waited for until the time-out.
void MessageReader::check_magic() const {
  const auto seen = std::min(end_ - begin_, message_magic.size());
  if (seen == 0 || std::memcmp(staging_.data() + begin_, message_magic.data(), seen) == 0) return;
  throw Error(ErrorCode::corrupt, "stream: the bytes received are not a splitnet message (wrong magic)");
}

void MessageReader::read_header() {
  Frame frame;
  std::memcpy(frame.header_bytes.data(), staging_.data() + begin_, message_header_bytes);
  frame.header = decode_header(frame.header_bytes, limits_);
  try {
    frame.body = pool_->take(frame.header.body_bytes(), budget_);
  } catch (const Error& error) {
    frame.refused = error;
  } catch (const std::bad_alloc&) {
    frame.refused.emplace(ErrorCode::overloaded,
                          "message: no memory for its body of " + std::to_string(frame.header.body_bytes()) + " bytes");
  }
  begin_ += message_header_bytes;
  frame_ = std::move(frame);
  body_filled_ = 0;
}

void MessageReader::use_staged_body() noexcept {
  const auto bytes = std::min(end_ - begin_, frame_->header.body_bytes() - body_filled_);
  if (bytes == 0) return;
  if (!frame_->refused) std::memcpy(frame_->body.data() + body_filled_, staging_.data() + begin_, bytes);
  body_filled_ += bytes;
  begin_ += bytes;
}

std::optional<MessageReader::Frame> MessageReader::next() {
  if (!frame_) {
    check_magic();
    if (end_ - begin_ >= message_header_bytes) read_header();
  }
  if (frame_) use_staged_body();
  // The staged rest, less than a header or of a later message, moves to the front.
  if (begin_ == end_) begin_ = end_ = 0;
  if (!frame_ && begin_ != 0) {
    std::memmove(staging_.data(), staging_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (!frame_ || body_filled_ < frame_->header.body_bytes()) return std::nullopt;
  auto frame = std::move(frame_);
  frame_.reset();
  return frame;
}

}  // namespace splitnet::detail
