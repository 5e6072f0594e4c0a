// SPDX-License-Identifier: Apache-2.0
#include "stream_channel.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace splitnet::detail {
namespace {

// A busy connection gives way to the others of its thread after so many reads or writes in a row.
constexpr int kTurnsInARow = 16;
constexpr std::size_t kVectors = 64;
constexpr auto kDrainTime = std::chrono::seconds(1);
// How long reading may take to find out why nothing can be written any more.
constexpr auto kLastWordsTime = std::chrono::milliseconds(100);
// Messages are held back while fewer bytes wait, and while handlers take less time.
constexpr std::size_t kHeldBackBytes = 64 * 1024;
constexpr auto kQuick = std::chrono::microseconds(20);

/// Whose messages this thread is delivering.
thread_local const StreamChannel* delivering = nullptr;

}  // namespace

StreamChannel::StreamChannel(std::shared_ptr<asio::io_context> context, std::unique_ptr<ByteStream> stream,
                             std::shared_ptr<BufferPool> pool, const ChannelOptions& options, std::string peer)
    : context_(std::move(context)),
      work_(context_->get_executor()),
      options_(options),
      peer_(std::move(peer)),
      stream_(std::move(stream)),
      reader_(options.limits, std::move(pool), options.budget),
      timer_(*context_) {}

void StreamChannel::start(std::shared_ptr<ChannelOwner> owner) {
  // Here, not in the work posted: what a handler posts to its own context can be overtaken by what `close`
  // posts from another thread, and a channel that finishes without its owner would keep it for ever.
  owner_ = std::move(owner);
  asio::post(*context_, [self = shared_from_this()] { self->open(); });
}

// ---- opening -----------------------------------------------------------------------------------

void StreamChannel::open() {
  if (closed_) return;
  if (options_.handshake_timeout.count() > 0) {
    set_timer(Clock::now() + std::chrono::duration_cast<Clock::duration>(options_.handshake_timeout));
  }
  stream_->async_handshake([self = shared_from_this()](const boost::system::error_code& error) {
    if (self->closed_) return;
    if (error) return self->close(self->stream_->explain(error, self->peer_));
    self->open_ = true;
    self->owner_->on_open();
    self->read();
  });
}

void StreamChannel::established(const MessageLimits& limits) {
  established_ = true;
  reader_.set_limits(limits);
  if (timer_armed_) timer_.cancel();
  timer_armed_ = false;
}

// ---- reading -----------------------------------------------------------------------------------

void StreamChannel::read() {
  if (closed_) return;
  const auto space = reader_.space();
  stream_->async_read(space, [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
    self->on_read(error, bytes);
  });
}

void StreamChannel::on_read(const boost::system::error_code& error, std::size_t bytes) {
  if (closed_ || draining_) return;
  if (error) return close(why_it_ended(error));
  has_read_ = true;
  reader_.filled(bytes);
  for (int turn = 0; turn < kTurnsInARow; ++turn) {
    if (!deliver()) return;
    // Between messages Asio's own attempt to read is enough; inside one the next bytes are close.
    if (!reader_.in_body() || !read_more()) break;
  }
  watch_message_time();
  read();
}

Error StreamChannel::why_it_ended(const boost::system::error_code& error) const {
  const Error reason = stream_->explain(error, peer_);
  if (has_read_ || error != asio::error::eof) return reason;
  return Error(reason.code(), std::string(reason.what()) + " before it said anything; is its scheme another one?");
}

bool StreamChannel::read_more() {
  const auto bytes = stream_->read_more(reader_.space());
  reader_.filled(bytes);
  return bytes > 0;
}

// False when reading must not go on.
bool StreamChannel::deliver() {
  const auto* const before = std::exchange(delivering, this);
  const bool goes_on = deliver_all();
  delivering = before;
  write_held_back();
  return goes_on;
}

bool StreamChannel::deliver_all() {
  for (;;) {
    if (closed_ || draining_) return false;
    if (!owner_->may_read() && pause()) return false;
    const auto start = Clock::now();
    if (!deliver_one()) return !closed_ && !draining_;
    handlers_are_quick_ = Clock::now() - start < kQuick;
    if (!handlers_are_quick_) write_held_back();
  }
}

bool StreamChannel::deliver_one() {
  std::optional<MessageReader::Frame> frame;
  try {
    frame = reader_.next();
  } catch (const Error& error) {
    owner_->on_bad_stream(error);
    return false;
  }
  if (!frame) return false;
  message_since_.reset();
  if (frame->refused) {
    owner_->on_bad_message(frame->header, *frame->refused);
    return true;
  }
  std::optional<Message> message;
  try {
    message = frame->decode(reader_.limits());
  } catch (const Error& error) {
    owner_->on_bad_message(frame->header, error);
    return true;
  } catch (const std::bad_alloc&) {
    owner_->on_bad_message(frame->header, Error(ErrorCode::overloaded, "message: no memory to decode it"));
    return true;
  }
  *frame = {};  // The tensors alone decide how long the body lives.
  owner_->on_message(*std::move(message));
  return true;
}

// True when reading stops. Asked twice, because `resume` may have come between question and answer.
bool StreamChannel::pause() {
  paused_ = true;
  return !owner_->may_read() || !paused_.exchange(false);
}

void StreamChannel::resume() {
  if (!paused_.load() || !paused_.exchange(false)) return;
  asio::post(*context_, [self = shared_from_this()] {
    if (!self->owner_ || !self->deliver()) return;
    self->watch_message_time();
    self->read();
  });
}

// One timer per time-out, not per message: it looks at the message that is coming in when it fires.
void StreamChannel::watch_message_time() {
  if (!established_ || options_.message_timeout.count() <= 0 || !reader_.in_message()) return;
  if (!message_since_) message_since_ = Clock::now();
  if (timer_armed_) return;
  set_timer(*message_since_ + std::chrono::duration_cast<Clock::duration>(options_.message_timeout));
}

void StreamChannel::set_timer(Clock::time_point when) {
  timer_armed_ = true;
  timer_.expires_at(when);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->on_timer();
  });
}

void StreamChannel::on_timer() {
  timer_armed_ = false;
  if (closed_ || draining_) return;
  if (write_error_) return close(*write_error_);
  if (!established_) {
    const Error late(ErrorCode::deadline_exceeded, "handshake: not complete within the time-out");
    return open_ ? owner_->on_bad_stream(late) : close(late);
  }
  if (!message_since_) return;
  if (Clock::now() - *message_since_ < options_.message_timeout) return watch_message_time();
  owner_->on_bad_stream(Error(ErrorCode::deadline_exceeded, "message: not complete within the time-out"));
}

// ---- writing -----------------------------------------------------------------------------------

StreamChannel::Sent StreamChannel::send(EncodedMessage message) {
  return enqueue(std::move(message), false);
}

StreamChannel::Sent StreamChannel::enqueue(EncodedMessage message, bool is_last) {
  {
    const std::lock_guard lock(send_mutex_);
    if (closed_ || last_queued_) return Sent::closed;
    if (message.size_bytes > options_.max_queued_bytes - queued_bytes_) return Sent::queue_full;
    queued_bytes_ += message.size_bytes;
    queue_.push_back(std::move(message));
    last_queued_ = is_last;
    if (writing_) return Sent::yes;
    if (delivering == this && !is_last && may_hold_back()) {
      holds_back_ = true;
      return Sent::yes;
    }
    writing_ = true;
  }
  write();
  return Sent::yes;
}

/// Asked on the thread that delivers. A thread of its own that sends meanwhile takes along what is held back.
bool StreamChannel::may_hold_back() const {
  return handlers_are_quick_ && queued_bytes_ < kHeldBackBytes;
}

void StreamChannel::write_held_back() {
  if (!std::exchange(holds_back_, false)) return;
  {
    const std::lock_guard lock(send_mutex_);
    if (writing_ || queue_.empty()) return;
    writing_ = true;
  }
  write();
}

void StreamChannel::write() {
  for (int turn = 0; turn < kTurnsInARow; ++turn) {
    if (!write_once()) return;
  }
  wait_writable();
}

// False when this thread has nothing more to write.
bool StreamChannel::write_once() {
  std::array<iovec, kVectors> vectors;
  std::size_t count = 0;
  {
    const std::lock_guard lock(send_mutex_);
    count = gather(vectors.data(), vectors.size());
  }
  const auto [sent, error] = stream_->write(vectors.data(), count);
  if (error == EAGAIN) {
    wait_writable();
    return false;
  }
  if (error != 0) {
    drop_queue();
    close_after_reading(
        Error(ErrorCode::unavailable,
              "connection with " + peer_ + ": " + std::strerror(error)));  // NOLINT(concurrency-mt-unsafe)
    return false;
  }
  SmallVector<EncodedMessage, 4> done;  // Freed without the lock: it may be the last handle to large tensors.
  const std::lock_guard lock(send_mutex_);
  done = consume(sent);
  if (!queue_.empty()) return true;
  writing_ = false;
  if (last_queued_) stream_->shutdown_write();
  return false;
}

std::size_t StreamChannel::gather(iovec* vectors, std::size_t count) const {
  std::size_t used = 0;
  std::size_t skip = front_sent_;
  for (const auto& message : queue_) {
    for (const auto& buffer : message.buffers) {
      if (skip >= buffer.size()) {
        skip -= buffer.size();
        continue;
      }
      if (used == count) return used;
      vectors[used++] = {const_cast<std::byte*>(buffer.data()) + skip, buffer.size() - skip};
      skip = 0;
    }
  }
  return used;
}

SmallVector<EncodedMessage, 4> StreamChannel::consume(std::size_t bytes) {
  SmallVector<EncodedMessage, 4> done;
  queued_bytes_ -= bytes;
  front_sent_ += bytes;
  while (!queue_.empty() && front_sent_ >= queue_.front().size_bytes) {
    front_sent_ -= queue_.front().size_bytes;
    done.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return done;
}

// Asio's sockets are not thread-safe, so waiting is arranged on the context's thread.
void StreamChannel::wait_writable() {
  asio::dispatch(*context_, [self = shared_from_this()] {
    if (self->closed_) return self->drop_queue();
    self->stream_->async_wait_writable([self](const boost::system::error_code& error) {
      if (error || self->closed_) return self->drop_queue();
      self->write();
    });
  });
}

void StreamChannel::drop_queue() {
  std::deque<EncodedMessage> dropped;
  const std::lock_guard lock(send_mutex_);
  dropped.swap(queue_);
  queued_bytes_ = 0;
  front_sent_ = 0;
  writing_ = false;
}

// ---- ending ------------------------------------------------------------------------------------

void StreamChannel::close(const Error& reason) {
  {
    const std::lock_guard lock(send_mutex_);  // No send slips in behind.
    if (closed_.exchange(true)) return;
  }
  stream_->shutdown();
  asio::post(*context_, [self = shared_from_this(), reason] { self->finish(reason); });
}

/// Nothing can be written; what the peer said before it closed (that it refuses a certificate, say) may still be
/// unread.
void StreamChannel::close_after_reading(const Error& reason) {
  if (paused_) return close(reason);
  asio::post(*context_, [self = shared_from_this(), reason] {
    if (self->closed_ || self->draining_ || self->write_error_) return;
    self->write_error_ = reason;
    self->set_timer(Clock::now() + kLastWordsTime);
  });
}

void StreamChannel::finish(const Error& reason) {
  stream_->cancel();
  timer_.cancel();
  if (auto owner = std::exchange(owner_, nullptr)) owner->on_closed(reason);
}

void StreamChannel::close_after(EncodedMessage last_word, const Error& reason) {
  if (closed_ || draining_.exchange(true)) return;
  drain_reason_ = reason;
  if (enqueue(std::move(last_word), true) != Sent::yes) return close(reason);
  timer_.expires_after(kDrainTime);  // Takes the place of a message timer.
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code&) {
    if (self->drain_reason_) self->close(*self->drain_reason_);
  });
  drain();  // A read that is still waiting takes some of the bytes and throws them away too.
}

void StreamChannel::drain() {
  if (closed_) return;
  static thread_local std::array<std::byte, 16 * 1024> rubbish;
  stream_->async_read(rubbish, [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
    if (error) return self->close(*self->drain_reason_);
    self->drain();
  });
}

}  // namespace splitnet::detail
