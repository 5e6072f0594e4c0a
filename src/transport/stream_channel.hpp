// SPDX-License-Identifier: Apache-2.0
// One socket that carries messages both ways, the same on the calling and the answering side. Private.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>

#include "asio.hpp"
#include "byte_stream.hpp"
#include "channel.hpp"
#include "message_reader.hpp"
#include "small_vector.hpp"

namespace splitnet::detail {

/// Writing begins on the thread that calls `send`, without blocking, and what the socket does not take at
/// once is written by the context's thread; reading always happens there. Small messages that are sent while messages
/// are delivered, on the thread that delivers, go together in one system call when all have been delivered.
class StreamChannel : public Channel, public std::enable_shared_from_this<StreamChannel> {
 public:
  StreamChannel(std::shared_ptr<asio::io_context> context, std::unique_ptr<ByteStream> stream,
                std::shared_ptr<BufferPool> pool, const ChannelOptions& options, std::string peer);

  void start(std::shared_ptr<ChannelOwner> owner) override;
  void established(const MessageLimits& limits) override;
  Sent send(EncodedMessage message) override;
  void resume() override;
  void close(const Error& reason) override;
  /// Closing at once with bytes unread would reset the connection, and the word would be lost.
  void close_after(EncodedMessage last_word, const Error& reason) override;

 private:
  using Clock = std::chrono::steady_clock;

  void open();
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  [[nodiscard]] Error why_it_ended(const boost::system::error_code& error) const;
  bool read_more();
  bool deliver();
  bool deliver_all();
  bool deliver_one();
  bool pause();
  void drain();
  void set_timer(std::chrono::steady_clock::time_point when);
  void watch_message_time();
  void on_timer();

  Sent enqueue(EncodedMessage message, bool is_last);
  [[nodiscard]] bool may_hold_back() const;
  void write_held_back();
  void write();
  bool write_once();
  void wait_writable();
  void drop_queue();
  std::size_t gather(iovec* vectors, std::size_t count) const;
  SmallVector<EncodedMessage, 4> consume(std::size_t bytes);
  void close_after_reading(const Error& reason);
  void finish(const Error& reason);

  const std::shared_ptr<asio::io_context> context_;
  // A thread in the middle of `send` can still hand its rest over to the context's thread.
  const asio::executor_work_guard<asio::io_context::executor_type> work_;
  const ChannelOptions options_;
  const std::string peer_;
  const std::unique_ptr<ByteStream> stream_;

  std::atomic<bool> closed_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> paused_{false};

  // The context's thread only.
  std::shared_ptr<ChannelOwner> owner_;
  MessageReader reader_;
  bool open_ = false;
  bool has_read_ = false;
  bool established_ = false;
  std::optional<Clock::time_point> message_since_;
  asio::steady_timer timer_;
  bool timer_armed_ = false;
  std::optional<Error> drain_reason_;
  std::optional<Error> write_error_;
  bool handlers_are_quick_ = true;  // The last one was.
  bool holds_back_ = false;         // Something in the queue waits for the end of `deliver`.

  std::mutex send_mutex_;
  std::deque<EncodedMessage> queue_;
  std::size_t front_sent_ = 0;  // Bytes of the first message that have gone.
  std::size_t queued_bytes_ = 0;
  bool last_queued_ = false;
  bool writing_ = false;  // One thread, or a pending wait, is in charge of writing.
};

}  // namespace splitnet::detail
