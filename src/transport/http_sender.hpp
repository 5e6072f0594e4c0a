// SPDX-License-Identifier: Apache-2.0
// Writes a head and a message to a socket. Private.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <functional>
#include <string>

#include "byte_stream.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// All on the thread of the stream's context; one at a time. Tensors are written from where they lie.
class HttpSender {
 public:
  /// The stream outlives it.
  explicit HttpSender(ByteStream& stream) : stream_(stream) {}

  /// `done` (an errno, 0: all is written) keeps the owner alive meanwhile. May run before `send` returns.
  void send(std::string head, EncodedMessage message, std::function<void(int error)> done);
  [[nodiscard]] bool is_sending() const noexcept { return done_ != nullptr; }
  /// Of what is being sent.
  [[nodiscard]] std::size_t sent_bytes() const noexcept { return sent_bytes_; }
  /// Writes no more of it; its `done` does not run.
  void stop() noexcept;

 private:
  static constexpr std::size_t max_vectors = 64;

  [[nodiscard]] std::size_t gather(std::array<iovec, max_vectors>& vectors) const;
  void write();
  void wait_writable();
  void consume(std::size_t bytes);
  void finish(int error);
  [[nodiscard]] std::span<const std::byte> buffer(std::size_t index) const;

  ByteStream& stream_;
  std::string head_;
  EncodedMessage message_;
  std::function<void(int)> done_;
  std::size_t front_ = 0;        // Which buffer is being written; 0: the head.
  std::size_t front_bytes_ = 0;  // Of it, those that have gone.
  std::size_t sent_bytes_ = 0;
};

}  // namespace splitnet::detail
