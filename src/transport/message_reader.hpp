// SPDX-License-Identifier: Apache-2.0
// Cuts a stream of bytes into messages; knows nothing of sockets. Private to the stream transports.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "buffer_pool.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// Bytes are read into a small staging buffer until a header is complete and checked; the rest of a large
/// body is then read straight into its own aligned storage. So a body is copied once as far as it
/// came along with its header (`staging_bytes` at most), and beyond that not at all. Not thread-safe.
class MessageReader {
 public:
  static constexpr std::size_t staging_bytes = 4 * 1024;
  struct Frame {
    MessageHeader header;
    std::array<std::byte, message_header_bytes> header_bytes{};
    Storage body;
    std::optional<Error> refused = {};  ///< Its body was skipped: there was no memory for it.
    [[nodiscard]] Message decode(const MessageLimits& limits) const {
      return splitnet::decode(header_bytes, body, limits);
    }
  };

  MessageReader(const MessageLimits& limits, std::shared_ptr<BufferPool> pool, std::shared_ptr<ByteBudget> budget = {})
      : limits_(limits), pool_(std::move(pool)), budget_(std::move(budget)) {}

  /// Where the next bytes go; never empty once `next` has returned nothing.
  [[nodiscard]] std::span<std::byte> space() noexcept;
  void filled(std::size_t bytes) noexcept;
  /// A message whose bytes are complete. Throws as decode_header: then the stream can't be followed any further.
  std::optional<Frame> next();

  [[nodiscard]] const MessageLimits& limits() const noexcept { return limits_; }
  /// For the messages whose headers have not been read yet.
  void set_limits(const MessageLimits& limits) noexcept { limits_ = limits; }

  /// Part of a message has come.
  [[nodiscard]] bool in_message() const noexcept { return frame_.has_value() || begin_ != end_; }
  /// The body of a large message is being filled: more bytes are likely on their way.
  [[nodiscard]] bool in_body() const noexcept { return frame_.has_value(); }

 private:
  void read_header();
  void check_magic() const;
  void use_staged_body() noexcept;

  MessageLimits limits_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<ByteBudget> budget_;
  std::array<std::byte, staging_bytes> staging_;
  std::size_t begin_ = 0;  // staging_[begin_, end_) has been received and not yet used.
  std::size_t end_ = 0;
  std::optional<Frame> frame_;
  std::size_t body_filled_ = 0;
};

}  // namespace splitnet::detail
