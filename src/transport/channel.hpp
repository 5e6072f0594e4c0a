// SPDX-License-Identifier: Apache-2.0
// What carries messages both ways between two processes, the same on the calling and the answering side. Private.
#pragma once

#include <chrono>
#include <memory>

#include "byte_budget.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// What a channel tells its owner, always on the context's thread and without a lock.
class ChannelOwner {
 public:
  virtual ~ChannelOwner() = default;
  /// The road is open; messages may come from now on. Not after `on_closed`.
  virtual void on_open() = 0;
  virtual void on_message(Message message) = 0;
  /// The bytes of one message were bad; the stream can still be followed.
  virtual void on_bad_message(const MessageHeader& header, const Error& error) = 0;
  /// The stream can't be followed any further: not a message, too large, or too slow.
  virtual void on_bad_stream(const Error& error) = 0;
  /// Once, and last.
  virtual void on_closed(const Error& reason) = 0;
  /// False stops reading until `Channel::resume`.
  [[nodiscard]] virtual bool may_read() const { return true; }
};

struct ChannelOptions {
  MessageLimits limits;  ///< Until Channel::established.
  std::size_t max_queued_bytes = 0;
  std::chrono::nanoseconds handshake_timeout{0};  ///< From the start until `established`; 0: unbounded.
  std::chrono::nanoseconds message_timeout{0};    ///< From first to last byte of a message; 0: unbounded.
  std::shared_ptr<ByteBudget> budget = {};        ///< For the bodies of messages; none: unbounded.
};

class Channel {
 public:
  enum class Sent { yes, queue_full, closed };

  virtual ~Channel() = default;
  /// Any thread; before anything else. The channel holds its owner until it is closed.
  virtual void start(std::shared_ptr<ChannelOwner> owner) = 0;
  /// The context's thread: the peer is who it should be, and may send messages within these limits.
  virtual void established(const MessageLimits& limits) = 0;
  /// Any thread; never blocks.
  virtual Sent send(EncodedMessage message) = 0;
  /// Any thread: memory that is sent with the fewest copies. Throws std::bad_alloc.
  [[nodiscard]] virtual Storage allocate(std::size_t bytes) { return Storage::allocate(bytes); }
  /// Any thread; cheap when reading has not been stopped.
  virtual void resume() = 0;
  /// Any thread; idempotent.
  virtual void close(const Error& reason) = 0;
  /// The context's thread: says a last word and waits a moment for the peer to hear it, then closes.
  virtual void close_after(EncodedMessage last_word, const Error& reason) = 0;
};

}  // namespace splitnet::detail
