// SPDX-License-Identifier: Apache-2.0
// Two rings and two arenas that carry messages both ways, the same on the calling and the answering side. Private.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "asio.hpp"
#include "channel.hpp"
#include "shm_borrower.hpp"
#include "shm_frame.hpp"
#include "shm_handshake.hpp"
#include "shm_lender.hpp"
#include "shm_outgoing.hpp"
#include "shm_ring.hpp"
#include "splitnet/transport/shm.hpp"

namespace splitnet::detail {

/// Writing happens on the thread that calls `send` while the ring has room, and on the context's thread otherwise;
/// reading always happens there. The socket that the two sides met on stays open: one byte on it wakes a side that
/// sleeps, and its end is the peer's.
class ShmChannel : public Channel, public std::enable_shared_from_this<ShmChannel> {
 public:
  /// `name` of the peer, for messages.
  ShmChannel(std::shared_ptr<asio::io_context> context, ShmPeer peer, std::shared_ptr<BufferPool> pool,
             const ChannelOptions& options, const ShmOptions& shm, std::string name);

  void start(std::shared_ptr<ChannelOwner> owner) override;
  void established(const MessageLimits& limits) override;
  Sent send(EncodedMessage message) override;
  [[nodiscard]] Storage allocate(std::size_t bytes) override { return lender_->allocate(bytes); }
  void resume() override;
  void close(const Error& reason) override;
  void close_after(EncodedMessage last_word, const Error& reason) override;

 private:
  using Clock = std::chrono::steady_clock;
  /// A message in the ring that the peer has not read.
  struct Unread {
    std::uint64_t end = 0;  // Of it in the ring.
    std::size_t bytes = 0;
  };

  void open();
  void wake_peer() noexcept;
  void wait_for_bytes();
  void on_bytes(const boost::system::error_code& error, std::size_t bytes);

  void pump();
  void pump_later();
  bool deliver();
  void deliver_frame(ShmFrameReader::Frame frame);
  [[nodiscard]] Message decode(const ShmFrameReader::Frame& frame) const;
  bool pause();
  void publish_read();
  void go_to_sleep();
  void note_message();
  void watch_message_time();
  void set_timer(Clock::time_point when);
  void on_timer();
  void collect();

  Sent enqueue(EncodedMessage message, bool is_last);
  std::optional<Sent> reserve(std::size_t bytes);
  void forget_read();
  Sent write(ShmOutgoing message, bool is_last);
  bool write_queued(std::vector<ShmOutgoing>& done);
  void write_queue();

  void finish(const Error& reason);
  [[nodiscard]] Error broken(const std::string& why) const;

  const std::shared_ptr<asio::io_context> context_;
  // A thread in the middle of `send` can still hand its rest over to the context's thread.
  const asio::executor_work_guard<asio::io_context::executor_type> work_;
  const ChannelOptions options_;
  const std::chrono::nanoseconds spin_;
  const std::string name_;
  const std::shared_ptr<ShmLender> lender_;
  const std::shared_ptr<ShmBorrower> borrower_;
  StreamSocket socket_;
  const int descriptor_;

  std::atomic<bool> closed_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> paused_{false};

  // The context's thread only.
  std::shared_ptr<ChannelOwner> owner_;
  bool established_ = false;
  ShmRingReader ring_;
  ShmFrameReader reader_;
  std::array<char, 64> bytes_{};  // From the socket.
  bool pump_is_due_ = false;
  Clock::time_point last_message_;
  bool spins_ = false;
  bool peer_has_closed_ = false;
  std::optional<Clock::time_point> message_since_;
  asio::steady_timer timer_;
  bool timer_armed_ = false;
  asio::steady_timer loans_timer_;
  bool loans_timer_armed_ = false;
  std::optional<Error> drain_reason_;

  std::mutex send_mutex_;
  ShmRingWriter writer_;
  std::deque<ShmOutgoing> queue_;
  std::deque<Unread> unread_;
  std::size_t waiting_bytes_ = 0;  // Of both, and of messages that are being prepared.
  bool last_queued_ = false;
};

}  // namespace splitnet::detail
