// SPDX-License-Identifier: Apache-2.0
#include "shm_channel.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>
#include <vector>

#include "../message_body.hpp"

namespace splitnet::detail {
namespace {

// A busy connection gives way to the others of its thread after so many reads in a row.
constexpr int kTurnsInARow = 64;
constexpr std::size_t kMostUnreadNotes = 64;
constexpr auto kDrainTime = std::chrono::seconds(1);
// How soon what the peer has given back is free for others, when no message comes before that.
constexpr auto kCollectTime = std::chrono::milliseconds(250);

}  // namespace

ShmChannel::ShmChannel(std::shared_ptr<asio::io_context> context, ShmPeer peer, std::shared_ptr<BufferPool> pool,
                       const ChannelOptions& options, const ShmOptions& shm, std::string name)
    : context_(std::move(context)),
      work_(context_->get_executor()),
      options_(options),
      spin_(shm.spin),
      name_(std::move(name)),
      lender_(std::make_shared<ShmLender>(peer.own, peer.theirs, shm.kept_bytes)),
      borrower_(std::make_shared<ShmBorrower>(peer.own, peer.theirs, pool, options.budget, peer.is_trusted)),
      socket_(std::move(peer.socket)),
      descriptor_(socket_.native_handle()),
      ring_(peer.own, peer.theirs),
      reader_(options.limits, peer.theirs->layout().arena_bytes, std::move(pool), options.budget),
      timer_(*context_),
      loans_timer_(*context_),
      writer_(peer.own, peer.theirs) {}

Error ShmChannel::broken(const std::string& why) const {
  return Error(ErrorCode::unavailable, "connection with " + name_ + ": " + why);
}

void ShmChannel::start(std::shared_ptr<ChannelOwner> owner) {
  // Here, not in the work posted: it can be overtaken by what `close` posts from another thread, and a channel that
  // finishes without its owner would keep it for ever.
  owner_ = std::move(owner);
  asio::post(*context_, [self = shared_from_this()] { self->open(); });
}

void ShmChannel::open() {
  if (closed_) return;
  if (options_.handshake_timeout.count() > 0) {
    set_timer(Clock::now() + std::chrono::duration_cast<Clock::duration>(options_.handshake_timeout));
  }
  owner_->on_open();
  wait_for_bytes();
  pump();
}

void ShmChannel::established(const MessageLimits& limits) {
  established_ = true;
  reader_.set_limits(limits);
  if (timer_armed_) timer_.cancel();
  timer_armed_ = false;
}

// ---- waking and being woken --------------------------------------------------------------------

void ShmChannel::wake_peer() noexcept {
  // When nothing more fits, the peer has been woken often enough; when it is gone, the next read says so.
  (void)!::send(descriptor_, &shm_wake_byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ShmChannel::wait_for_bytes() {
  if (closed_) return;
  socket_.async_read_some(asio::buffer(bytes_),
                          [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
                            self->on_bytes(error, bytes);
                          });
}

void ShmChannel::on_bytes(const boost::system::error_code& error, std::size_t bytes) {
  if (closed_) return;
  peer_has_closed_ = static_cast<bool>(error);
  if (peer_has_closed_ && draining_) return close(*drain_reason_);
  const bool are_good = std::all_of(bytes_.begin(), bytes_.begin() + bytes, [](char c) { return c == shm_wake_byte; });
  if (!peer_has_closed_) wait_for_bytes();
  if (!are_good && !draining_) {
    return owner_->on_bad_stream(Error(ErrorCode::corrupt, "shared memory: unexpected bytes on its socket"));
  }
  write_queue();
  pump();
}

// ---- reading -----------------------------------------------------------------------------------

void ShmChannel::pump_later() {
  if (std::exchange(pump_is_due_, true)) return;
  asio::post(*context_, [self = shared_from_this()] { self->pump(); });
}

void ShmChannel::pump() {
  pump_is_due_ = false;
  try {
    for (int turn = 0; turn < kTurnsInARow; ++turn) {
      if (closed_ || draining_) return;
      if (!owner_->may_read() && pause()) {
        publish_read();
        if (peer_has_closed_) close(broken("closed by the peer"));
        return;
      }
      if (!deliver()) return go_to_sleep();
    }
    publish_read();
    pump_later();
  } catch (const Error& error) {
    owner_->on_bad_stream(error);
  } catch (const std::bad_alloc&) {
    close(Error(ErrorCode::overloaded, "connection with " + name_ + ": no memory to read what it sends"));
  }
}

/// Reads some bytes; false when there are none. Throws what makes the ring impossible to follow.
bool ShmChannel::deliver() {
  const auto bytes = ring_.read(reader_.space());
  if (bytes == 0) return false;
  reader_.filled(bytes);
  auto frame = reader_.next();
  if (ring_.held_bytes() >= ShmLayout::unit_bytes / 2) publish_read();
  if (frame) {
    message_since_.reset();
    note_message();
    deliver_frame(*std::move(frame));
  }
  return true;
}

void ShmChannel::deliver_frame(ShmFrameReader::Frame frame) {
  if (frame.refused) {
    for (const auto& extent : frame.extents) borrower_->decline(extent);
    return owner_->on_bad_message(frame.header, *frame.refused);
  }
  std::optional<Message> message;
  try {
    message = decode(frame);
  } catch (const Error& error) {
    return owner_->on_bad_message(frame.header, error);
  } catch (const std::bad_alloc&) {
    return owner_->on_bad_message(frame.header, Error(ErrorCode::overloaded, "message: no memory to decode it"));
  }
  frame = {};  // The tensors alone decide how long the bytes live.
  owner_->on_message(*std::move(message));
}

Message ShmChannel::decode(const ShmFrameReader::Frame& frame) const {
  MessageBody body;
  std::size_t taken = 0;
  try {
    for (; taken < frame.extents.size(); ++taken) {
      body.append(frame.rest[taken]);
      body.append(borrower_->take(frame.extents[taken]));
    }
  } catch (...) {
    while (++taken < frame.extents.size()) borrower_->decline(frame.extents[taken]);
    throw;
  }
  body.append(frame.rest.back());
  return detail::decode(frame.header_bytes, body, reader_.limits());
}

// True when reading stops. Asked twice, because `resume` may have come between question and answer.
bool ShmChannel::pause() {
  paused_ = true;
  return !owner_->may_read() || !paused_.exchange(false);
}

void ShmChannel::resume() {
  if (!paused_.load() || !paused_.exchange(false)) return;
  asio::post(*context_, [self = shared_from_this()] {
    if (self->owner_) self->pump();
  });
}

void ShmChannel::publish_read() {
  if (ring_.publish()) wake_peer();
}

void ShmChannel::go_to_sleep() {
  publish_read();
  watch_message_time();
  collect();
  if (peer_has_closed_) return close(broken("closed by the peer"));
  if (spins_ && Clock::now() - last_message_ < spin_) {
    std::this_thread::yield();
    return pump_later();  // Between two looks the thread's other connections have their turn.
  }
  if (!ring_.may_wait()) pump_later();
}

/// A peer that has just been quick is waited for awake.
void ShmChannel::note_message() {
  if (spin_.count() == 0) return;
  const auto now = Clock::now();
  spins_ = now - last_message_ < 2 * spin_;
  last_message_ = now;
}

// One timer per time-out, not per message: it looks at the message that is coming in when it fires.
void ShmChannel::watch_message_time() {
  if (!established_ || options_.message_timeout.count() <= 0 || !reader_.in_message()) return;
  if (!message_since_) message_since_ = Clock::now();
  if (timer_armed_) return;
  set_timer(*message_since_ + std::chrono::duration_cast<Clock::duration>(options_.message_timeout));
}

void ShmChannel::set_timer(Clock::time_point when) {
  timer_armed_ = true;
  timer_.expires_at(when);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->on_timer();
  });
}

void ShmChannel::on_timer() {
  timer_armed_ = false;
  if (closed_ || draining_) return;
  if (!established_) {
    return owner_->on_bad_stream(Error(ErrorCode::deadline_exceeded, "handshake: not complete within the time-out"));
  }
  if (!message_since_) return;
  if (Clock::now() - *message_since_ < options_.message_timeout) return watch_message_time();
  owner_->on_bad_stream(Error(ErrorCode::deadline_exceeded, "message: not complete within the time-out"));
}

/// Throws as ShmLender::collect.
void ShmChannel::collect() {
  lender_->collect();
  if (loans_timer_armed_ || !lender_->has_loans()) return;
  loans_timer_armed_ = true;
  loans_timer_.expires_after(kCollectTime);
  loans_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    self->loans_timer_armed_ = false;
    if (aborted || self->closed_ || self->draining_) return;
    try {
      self->collect();
    } catch (const Error& error) {
      self->owner_->on_bad_stream(error);
    }
  });
}

// ---- writing -----------------------------------------------------------------------------------

ShmChannel::Sent ShmChannel::send(EncodedMessage message) {
  return enqueue(std::move(message), false);
}

ShmChannel::Sent ShmChannel::enqueue(EncodedMessage message, bool is_last) {
  const std::size_t bytes = message.size_bytes;
  try {
    if (const auto refused = reserve(bytes)) return *refused;
    lender_->collect();
    return write(ShmOutgoing(std::move(message), *lender_), is_last);
  } catch (const Error& error) {
    close(error);
    return Sent::closed;
  } catch (...) {
    const std::lock_guard lock(send_mutex_);
    waiting_bytes_ -= bytes;
    throw;
  }
}

/// Before a message is prepared, which may copy all of it.
std::optional<ShmChannel::Sent> ShmChannel::reserve(std::size_t bytes) {
  const std::lock_guard lock(send_mutex_);
  if (closed_ || last_queued_) return Sent::closed;
  if (bytes > options_.max_queued_bytes - waiting_bytes_ || unread_.size() >= kMostUnreadNotes) forget_read();
  if (bytes > options_.max_queued_bytes - waiting_bytes_) return Sent::queue_full;
  waiting_bytes_ += bytes;
  return std::nullopt;
}

/// Under the lock: what the peer has read waits no more.
void ShmChannel::forget_read() {
  const auto read = writer_.read_by_peer();
  while (!unread_.empty() && unread_.front().end <= read) {
    waiting_bytes_ -= unread_.front().bytes;
    unread_.pop_front();
  }
}

ShmChannel::Sent ShmChannel::write(ShmOutgoing message, bool is_last) {
  bool must_wake = false;
  std::vector<ShmOutgoing> done;  // Freed without the lock: they may have the last handles to large tensors.
  {
    const std::lock_guard lock(send_mutex_);
    if (closed_ || last_queued_) return Sent::closed;
    last_queued_ = is_last;
    if (queue_.empty() && message.write_to(writer_)) {
      unread_.push_back({writer_.written(), message.size_bytes()});
      must_wake = writer_.publish();
    } else {
      queue_.push_back(std::move(message));
      must_wake = write_queued(done);
    }
  }
  if (must_wake) wake_peer();
  return Sent::yes;
}

/// Under the lock. True when the peer must be woken.
bool ShmChannel::write_queued(std::vector<ShmOutgoing>& done) {
  bool must_wake = false;
  do {
    while (!queue_.empty() && queue_.front().write_to(writer_)) {
      unread_.push_back({writer_.written(), queue_.front().size_bytes()});
      done.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    must_wake = writer_.publish() || must_wake;
  } while (!queue_.empty() && !writer_.may_wait());
  return must_wake;
}

void ShmChannel::write_queue() {
  bool must_wake = false;
  std::vector<ShmOutgoing> done;
  try {
    const std::lock_guard lock(send_mutex_);
    if (closed_ || queue_.empty()) return;
    must_wake = write_queued(done);
  } catch (const Error& error) {
    return close(error);
  }
  if (must_wake) wake_peer();
}

// ---- ending ------------------------------------------------------------------------------------

void ShmChannel::close(const Error& reason) {
  {
    const std::lock_guard lock(send_mutex_);  // No send slips in behind.
    if (closed_.exchange(true)) return;
  }
  ::shutdown(descriptor_, SHUT_RDWR);
  asio::post(*context_, [self = shared_from_this(), reason] { self->finish(reason); });
}

void ShmChannel::finish(const Error& reason) {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
  timer_.cancel();
  loans_timer_.cancel();
  lender_->close();
  std::deque<ShmOutgoing> dropped;
  {
    const std::lock_guard lock(send_mutex_);
    dropped.swap(queue_);
  }
  if (auto owner = std::exchange(owner_, nullptr)) owner->on_closed(reason);
}

void ShmChannel::close_after(EncodedMessage last_word, const Error& reason) {
  if (closed_ || draining_.exchange(true)) return;
  drain_reason_ = reason;
  if (enqueue(std::move(last_word), true) != Sent::yes) return close(reason);
  timer_.expires_after(kDrainTime);  // Takes the place of a message timer.
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    if (self->drain_reason_) self->close(*self->drain_reason_);
  });
}

}  // namespace splitnet::detail
