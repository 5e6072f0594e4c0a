// SPDX-License-Identifier: Apache-2.0
// The body of an HTTP message, which is one message of ours. Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "message_reader.hpp"

namespace splitnet::detail {

/// Fills a header first; when that has been checked, memory is taken and filled in place. Not thread-safe.
class HttpBody {
 public:
  using Frame = MessageReader::Frame;

  /// `length`: what HTTP says about it, if it does. Throws corrupt for one that no message can have, too_large.
  HttpBody(const MessageLimits& limits, std::shared_ptr<BufferPool> pool, std::shared_ptr<ByteBudget> budget,
           std::optional<std::uint64_t> length);

  /// Where the next bytes go; empty when the message is complete.
  [[nodiscard]] std::span<std::byte> space() noexcept;
  /// Throws as decode_header, and overloaded when there is no memory for the message.
  void filled(std::size_t bytes);
  [[nodiscard]] bool is_complete() const noexcept { return has_header_ && filled_ == frame_.header.body_bytes(); }
  /// Once, when complete.
  [[nodiscard]] Frame take() { return std::move(frame_); }

 private:
  void read_header();

  const MessageLimits limits_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<ByteBudget> budget_;
  const std::optional<std::uint64_t> length_;
  Frame frame_;
  bool has_header_ = false;
  std::size_t filled_ = 0;  // Of the header, then of the body.
};

}  // namespace splitnet::detail
