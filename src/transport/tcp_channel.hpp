// SPDX-License-Identifier: Apache-2.0
// One socket that carries messages both ways, the same on the calling and the answering side. Private.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "asio.hpp"
#include "message_reader.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// What a channel tells its owner, always on the context's thread and without a lock.
class ChannelOwner {
 public:
  virtual ~ChannelOwner() = default;
  virtual void on_message(Message message) = 0;
  /// The bytes of one message were bad; the stream can still be followed.
  virtual void on_bad_message(const MessageHeader& header, const Error& error) = 0;
  /// The stream can't be followed any further: not a message, too large, or too slow.
  virtual void on_bad_stream(const Error& error) = 0;
  /// Once, and last.
  virtual void on_closed(const Error& reason) = 0;
  /// False stops reading until `TcpChannel::resume`.
  [[nodiscard]] virtual bool may_read() const { return true; }
};

struct ChannelOptions {
  MessageLimits limits;
  std::size_t max_queued_bytes = 0;
  std::chrono::nanoseconds message_timeout{0};  ///< From first to last byte of a message; 0: unbounded.
};

/// Writing begins on the thread that calls `send`, without blocking, and what the socket does not take at
/// once is written by the context's thread; reading always happens there. The descriptor is closed by
/// the destructor only, so that no thread can meet a recycled number.
class TcpChannel : public std::enable_shared_from_this<TcpChannel> {
 public:
  enum class Sent { yes, queue_full, closed };

  TcpChannel(std::shared_ptr<asio::io_context> context, asio::ip::tcp::socket socket, std::shared_ptr<BufferPool> pool,
             const ChannelOptions& options, std::string peer);

  /// Any thread; before anything else. The channel holds its owner until it is closed.
  void start(std::shared_ptr<ChannelOwner> owner);
  /// Any thread; never blocks.
  Sent send(EncodedMessage message);
  /// Any thread; cheap when reading has not been stopped.
  void resume();
  /// Any thread; idempotent.
  void close(const Error& reason);
  /// The context's thread: says a last word and waits a moment for the peer to hear it, then closes.
  /// Closing at once with bytes unread would reset the connection, and the word would be lost.
  void close_after(EncodedMessage last_word, const Error& reason);

 private:
  using Clock = std::chrono::steady_clock;

  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  bool read_more();
  bool deliver();
  bool deliver_one();
  bool pause();
  void drain();
  void watch_message_time();
  void on_timer();

  Sent enqueue(EncodedMessage message, bool is_last);
  void write();
  bool write_once();
  void wait_writable();
  void drop_queue();
  std::size_t gather(iovec* vectors, std::size_t count) const;
  std::vector<EncodedMessage> consume(std::size_t bytes);
  void finish(const Error& reason);
  [[nodiscard]] Error broken(const std::string& why) const;

  const std::shared_ptr<asio::io_context> context_;
  // A thread in the middle of `send` can still hand its rest over to the context's thread.
  const asio::executor_work_guard<asio::io_context::executor_type> work_;
  const ChannelOptions options_;
  const std::string peer_;
  asio::ip::tcp::socket socket_;
  const int descriptor_;

  std::atomic<bool> closed_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> paused_{false};

  // The context's thread only.
  std::shared_ptr<ChannelOwner> owner_;
  MessageReader reader_;
  std::optional<Clock::time_point> message_since_;
  asio::steady_timer timer_;
  bool timer_armed_ = false;
  std::optional<Error> drain_reason_;

  std::mutex send_mutex_;
  std::deque<EncodedMessage> queue_;
  std::size_t front_sent_ = 0;  // Bytes of the first message that have gone.
  std::size_t queued_bytes_ = 0;
  bool last_queued_ = false;
  bool writing_ = false;  // One thread, or a pending wait, is in charge of writing.
};

}  // namespace splitnet::detail
