// SPDX-License-Identifier: Apache-2.0
#include "stream_opener.hpp"

#include <utility>

namespace splitnet::detail {

void StreamOpener::open(std::chrono::steady_clock::time_point until, Done done) {
  done_ = std::move(done);
  failure_.reset();
  next_ = 0;
  try {
    addresses_ = road_.resolve();
  } catch (const Error& error) {
    return finish(error);
  }
  timer_.expires_at(until);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->end(Error(ErrorCode::deadline_exceeded, self->name() + ": no answer within the time-out"));
  });
  try_next();
}

void StreamOpener::try_next() {
  if (next_ == addresses_.size()) return finish(*failure_);
  const StreamEndpoint& address = addresses_[next_++];
  boost::system::error_code error;
  socket_.emplace(*context_);
  socket_->open(address.protocol(), error);
  if (!error) socket_->non_blocking(true, error);
  if (error) return on_failure(Error(ErrorCode::unavailable, name() + ": " + error.message()));
  socket_->async_connect(address, [self = shared_from_this()](const boost::system::error_code& failed) {
    if (!self->done_) return;
    if (failed) return self->on_failure(Error(ErrorCode::unavailable, self->name() + ": " + failed.message()));
    self->on_connect();
  });
}

void StreamOpener::on_failure(const Error& error) {
  failure_.emplace(error);
  stream_.reset();
  socket_.reset();
  try_next();
}

void StreamOpener::on_connect() {
  // The kernel may connect a socket to itself when nobody listens on a port of the ephemeral range.
  boost::system::error_code error;
  const auto local = socket_->local_endpoint(error);
  if (local.size() > 0 && local.protocol().family() != AF_UNIX && local == socket_->remote_endpoint(error)) {
    return on_failure(Error(ErrorCode::unavailable, name() + ": Connection refused"));
  }
  stream_ = road_.wrap(*std::exchange(socket_, std::nullopt));
  stream_->async_handshake([self = shared_from_this()](const boost::system::error_code& failed) {
    if (!self->done_) return;
    if (failed) return self->on_failure(self->stream_->explain(failed, self->road_.endpoint));
    self->finish(std::move(self->stream_));
  });
}

/// Now, whatever is under way.
void StreamOpener::end(const Error& error) {
  if (!done_) return;
  if (stream_) stream_->cancel();
  boost::system::error_code ignored;
  if (socket_) socket_->cancel(ignored);
  finish(error);
}

void StreamOpener::finish(Outcome outcome) {
  timer_.cancel();
  const auto done = std::exchange(done_, nullptr);
  done(std::move(outcome));
}

}  // namespace splitnet::detail
