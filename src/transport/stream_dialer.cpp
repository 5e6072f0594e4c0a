// SPDX-License-Identifier: Apache-2.0
#include "stream_dialer.hpp"

#include <optional>
#include <utility>

#include "stream_channel.hpp"

namespace splitnet::detail {
namespace {

class StreamDialer : public Dialer, public std::enable_shared_from_this<StreamDialer> {
 public:
  StreamDialer(std::shared_ptr<asio::io_context> context, StreamRoad road, const ConnectOptions& options,
               std::shared_ptr<BufferPool> pool)
      : context_(std::move(context)),
        road_(std::move(road)),
        options_{options.limits, options.max_queued_bytes, {}, {}, {}},
        pool_(std::move(pool)),
        timer_(*context_) {}

  void dial(std::chrono::steady_clock::time_point until, Done done) override {
    done_ = std::move(done);
    failure_.reset();
    next_ = 0;
    try {
      addresses_ = road_.resolve();
    } catch (const Error& error) {
      return fail(error);
    }
    timer_.expires_at(until);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
      if (!aborted) self->end(Error(ErrorCode::deadline_exceeded, self->name() + ": no answer within the time-out"));
    });
    try_next();
  }

  void cancel() override { end(Error(ErrorCode::unavailable, name() + ": closed")); }

 private:
  [[nodiscard]] std::string name() const { return "connect to '" + road_.endpoint + "'"; }

  void try_next() {
    if (next_ == addresses_.size()) return fail(*failure_);
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

  void on_failure(const Error& error) {
    failure_.emplace(error);
    stream_.reset();
    socket_.reset();
    try_next();
  }

  void on_connect() {
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
      self->finish(std::make_shared<StreamChannel>(self->context_, std::move(self->stream_), self->pool_,
                                                   self->options_, self->road_.endpoint));
    });
  }

  /// Now, whatever is under way.
  void end(const Error& error) {
    if (!done_) return;
    if (stream_) stream_->cancel();
    boost::system::error_code ignored;
    if (socket_) socket_->cancel(ignored);
    fail(error);
  }

  void fail(const Error& error) { finish(error); }

  void finish(std::variant<std::shared_ptr<Channel>, Error> outcome) {
    timer_.cancel();
    const auto done = std::exchange(done_, nullptr);
    done(std::move(outcome));
  }

  const std::shared_ptr<asio::io_context> context_;
  const StreamRoad road_;
  const ChannelOptions options_;
  const std::shared_ptr<BufferPool> pool_;
  asio::steady_timer timer_;
  Done done_;  // While an attempt is under way.
  std::vector<StreamEndpoint> addresses_;
  std::size_t next_ = 0;
  std::optional<Error> failure_;
  std::optional<StreamSocket> socket_;
  std::unique_ptr<ByteStream> stream_;
};

}  // namespace

MakeDialer make_stream_dialer(StreamRoad road, const ConnectOptions& options, std::shared_ptr<BufferPool> pool) {
  return [road = std::move(road), options, pool = std::move(pool)](const std::shared_ptr<asio::io_context>& context) {
    return std::make_shared<StreamDialer>(context, road, options, pool);
  };
}

}  // namespace splitnet::detail
