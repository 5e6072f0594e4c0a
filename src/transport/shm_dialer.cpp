// SPDX-License-Identifier: Apache-2.0
#include "shm_dialer.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "shm_channel.hpp"

namespace splitnet::detail {
namespace {

// Between attempts to connect to a listener whose backlog is full.
constexpr auto kRetryPause = std::chrono::milliseconds(2);

class ShmDialer : public Dialer, public std::enable_shared_from_this<ShmDialer> {
 public:
  ShmDialer(std::shared_ptr<asio::io_context> context, UnixAddress address, const ConnectOptions& options,
            const ShmOptions& shm, std::shared_ptr<BufferPool> pool)
      : context_(std::move(context)),
        address_(std::move(address)),
        options_{options.limits, options.max_queued_bytes, {}, {}, {}},
        shm_(shm),
        pool_(std::move(pool)),
        timer_(*context_),
        pause_(*context_) {}

  void dial(std::chrono::steady_clock::time_point until, Done done) override {
    done_ = std::move(done);
    timer_.expires_at(until);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
      if (!aborted) self->fail(Error(ErrorCode::deadline_exceeded, "no answer within the time-out"));
    });
    attempt([&] {
      socket_.emplace(*context_, address_.endpoint().protocol());
      socket_->non_blocking(true);
      connect();
    });
  }

  void cancel() override { fail(Error(ErrorCode::unavailable, "closed")); }

 private:
  /// What `step` throws ends the attempt.
  template <class Step>
  void attempt(Step&& step) {
    if (!done_) return;
    try {
      step();
    } catch (const Error& error) {
      fail(error);
    } catch (const boost::system::system_error& error) {
      fail(Error(ErrorCode::unavailable, error.code().message()));
    }
  }

  // Not Asio's: a Unix socket connects at once or not at all, and then is not told when it can.
  void connect() {
    const auto endpoint = address_.endpoint();
    if (::connect(socket_->native_handle(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0) {
      return make_offer();
    }
    const int cause = errno;
    if (cause != EAGAIN && cause != EINTR) {
      throw Error(ErrorCode::unavailable, boost::system::system_category().message(cause));
    }
    pause_.expires_after(kRetryPause);
    pause_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
      if (!aborted) self->attempt([&] { self->connect(); });
    });
  }

  void make_offer() {
    const ucred listener = credentials_of(*socket_);
    is_trusted_ = is_trusted(listener);
    if (!is_trusted_ && !address_.is_file()) {  // A name can be taken by anybody.
      throw Error(ErrorCode::unauthenticated, "user " + std::to_string(listener.uid) + " listens under this name");
    }
    memory_ = std::make_shared<OwnShmMemory>(layout_of(shm_));
    try {
      send_offer(socket_->native_handle(), {memory_->layout(), std::nullopt}, memory_->take_descriptor());
    } catch (const Error& error) {  // A listener that has no room says so, and closes, before it hears anything.
      lost_ = error;
    }
    socket_->async_wait(StreamSocket::wait_read, [self = shared_from_this()](const boost::system::error_code& aborted) {
      if (!aborted) self->attempt([&] { self->take_offer(); });
    });
  }

  void take_offer() {
    const auto answer = receive_offer(socket_->native_handle());
    if (answer.offer.error) throw *answer.offer.error;
    if (lost_) throw *lost_;
    answer.offer.layout.check(shm_.max_peer_arena_bytes);
    auto theirs = std::make_shared<PeerShmMemory>(answer.memory, answer.offer.layout);
    finish(std::make_shared<ShmChannel>(
        context_, ShmPeer{*std::exchange(socket_, std::nullopt), std::move(memory_), std::move(theirs), is_trusted_},
        pool_, options_, shm_, address_.text));
  }

  /// Now, whatever is under way.
  void fail(const Error& error) {
    if (done_) finish(Error(error.code(), "connect to '" + address_.text + "': " + error.what()));
  }

  void finish(std::variant<std::shared_ptr<Channel>, Error> outcome) {
    timer_.cancel();
    pause_.cancel();
    socket_.reset();
    memory_.reset();
    lost_.reset();
    const auto done = std::exchange(done_, nullptr);
    done(std::move(outcome));
  }

  const std::shared_ptr<asio::io_context> context_;
  const UnixAddress address_;
  const ChannelOptions options_;
  const ShmOptions shm_;
  const std::shared_ptr<BufferPool> pool_;
  asio::steady_timer timer_;
  asio::steady_timer pause_;
  Done done_;  // While an attempt is under way.
  std::optional<StreamSocket> socket_;
  std::shared_ptr<OwnShmMemory> memory_;
  bool is_trusted_ = false;
  std::optional<Error> lost_;
};

}  // namespace

ShmLayout layout_of(const ShmOptions& options) {
  ShmLayout layout;
  layout.arena_bytes =
      (options.arena_bytes + ShmLayout::unit_bytes - 1) / ShmLayout::unit_bytes * ShmLayout::unit_bytes;
  return layout;
}

MakeDialer make_shm_dialer(UnixAddress address, const ConnectOptions& options, const ShmOptions& shm,
                           std::shared_ptr<BufferPool> pool) {
  return [address = std::move(address), options, shm,
          pool = std::move(pool)](const std::shared_ptr<asio::io_context>& context) {
    return std::make_shared<ShmDialer>(context, address, options, shm, pool);
  };
}

}  // namespace splitnet::detail
