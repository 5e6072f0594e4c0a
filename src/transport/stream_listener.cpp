// SPDX-License-Identifier: Apache-2.0
#include "stream_listener.hpp"

#include <algorithm>
#include <functional>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "io_thread.hpp"
#include "splitnet/access.hpp"
#include "stream_channel.hpp"
#include "within_room.hpp"

namespace splitnet::detail {
namespace {

// After an accept that failed for want of descriptors or memory: trying at once would spin.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);
// Peers that are turned away and hear why; more are dropped without a word.
constexpr std::size_t kMostTurnedAway = 64;

/// Has a peer hear why it may not stay.
class TurnedAway : public ChannelOwner {
 public:
  TurnedAway(std::shared_ptr<Channel> channel, const Error& reason, std::function<void()> gone)
      : channel_(std::move(channel)), reason_(reason), gone_(std::move(gone)) {}

  void on_open() override { channel_->close_after(encode_error(0, reason_), reason_); }
  void on_message(Message) override {}
  void on_bad_message(const MessageHeader&, const Error&) override {}
  void on_bad_stream(const Error& error) override { channel_->close(error); }
  void on_closed(const Error&) override { gone_(); }

 private:
  const std::shared_ptr<Channel> channel_;
  const Error reason_;
  const std::function<void()> gone_;
};

/// Everything of a listener that pending work may still refer to.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(std::vector<std::shared_ptr<asio::io_context>> contexts, std::shared_ptr<ListeningRoad> road,
           Handler handler, const ListenOptions& options, std::shared_ptr<BufferPool> pool)
      : contexts_(std::move(contexts)),
        road_(std::move(road)),
        by_(std::make_shared<ServedBy>(std::move(handler), options)),
        pool_(std::move(pool)),
        acceptor_(road_->bind(*contexts_.front())),
        pause_(*contexts_.front()) {}

  [[nodiscard]] std::string address() const { return road_->address(acceptor_); }
  void start() {
    asio::dispatch(*contexts_.front(), [self = shared_from_this()] { self->accept(); });
  }
  void close();

 private:
  void accept();
  void on_accept(const boost::system::error_code& error, StreamSocket socket, std::size_t index);
  void admit(StreamSocket socket, std::size_t index);
  void turn_away(StreamSocket socket, std::size_t index, const Error& reason);
  void forget(const std::shared_ptr<ServedPeer>& peer);

  const std::vector<std::shared_ptr<asio::io_context>> contexts_;
  const std::shared_ptr<ListeningRoad> road_;
  const std::shared_ptr<ServedBy> by_;
  const std::shared_ptr<BufferPool> pool_;
  StreamAcceptor acceptor_;   // The first context's thread only, once started.
  asio::steady_timer pause_;  // Likewise.
  std::size_t accepted_ = 0;  // Likewise.

  std::mutex mutex_;
  std::unordered_set<std::shared_ptr<ServedPeer>> peers_;
  std::unordered_set<std::shared_ptr<Channel>> turned_away_;
  bool closed_ = false;
};

void Acceptor::accept() {
  if (!acceptor_.is_open()) return;
  const auto index = accepted_++ % contexts_.size();
  acceptor_.async_accept(*contexts_[index], [self = shared_from_this(), index](const boost::system::error_code& error,
                                                                               StreamSocket socket) {
    self->on_accept(error, std::move(socket), index);
  });
}

void Acceptor::on_accept(const boost::system::error_code& error, StreamSocket socket, std::size_t index) {
  if (error == asio::error::operation_aborted) return;
  if (!error) {
    admit(std::move(socket), index);
    return accept();
  }
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->accept();
  });
}

void Acceptor::admit(StreamSocket socket, std::size_t index) {
  ServedPeer::Address address;
  try {
    boost::system::error_code error;
    socket.non_blocking(true, error);
    address = road_->identify(socket);
    if (const auto refused = by_->admission.refuse_connection(address.host)) throw *refused;
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    const std::size_t most = by_->options.max_connections;
    if (peers_.size() >= most) {
      throw Error(ErrorCode::overloaded, "listener: all " + std::to_string(most) + " connections are in use");
    }
    auto channel = std::make_shared<StreamChannel>(contexts_[index], road_->wrap(std::move(socket)), pool_,
                                                   by_->channel_options(), address.text);
    auto peer = std::make_shared<ServedPeer>(by_, std::move(channel), std::move(address),
                                             [self = shared_from_this()](const auto& gone) { self->forget(gone); });
    peers_.insert(peer);
    peer->start();
  } catch (const Error& error) {
    turn_away(std::move(socket), index, error);
  }
}

void Acceptor::turn_away(StreamSocket socket, std::size_t index, const Error& reason) {
  const std::lock_guard lock(mutex_);
  if (closed_ || turned_away_.size() >= kMostTurnedAway) return;
  ChannelOptions options{{}, 64 * 1024, std::chrono::seconds(1), {}, {}};
  auto channel = std::make_shared<StreamChannel>(contexts_[index], road_->wrap(std::move(socket)), pool_, options,
                                                 "a peer that is turned away");
  turned_away_.insert(channel);
  channel->start(std::make_shared<TurnedAway>(channel, reason, [self = shared_from_this(), channel = channel.get()] {
    const std::lock_guard its_lock(self->mutex_);
    std::erase_if(self->turned_away_, [channel](const auto& other) { return other.get() == channel; });
  }));
}

void Acceptor::forget(const std::shared_ptr<ServedPeer>& peer) {
  const std::lock_guard lock(mutex_);
  peers_.erase(peer);
}

void Acceptor::close() {
  std::unordered_set<std::shared_ptr<ServedPeer>> peers;
  std::unordered_set<std::shared_ptr<Channel>> turned_away;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;  // Work for a context that runs no more would keep the context, and itself, for ever.
    closed_ = true;
    peers = peers_;
    turned_away = turned_away_;
  }
  asio::dispatch(*contexts_.front(), [self = shared_from_this()] {
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    self->pause_.cancel();
  });
  const Error reason(ErrorCode::unavailable, "listener: closed");
  for (const auto& peer : peers) peer->close(reason);
  for (const auto& channel : turned_away) channel->close(reason);
  road_->forget();
}

class StreamListener : public Listener {
 public:
  StreamListener(std::shared_ptr<ListeningRoad> road, Handler handler, const ListenOptions& options,
                 std::size_t threads, std::shared_ptr<BufferPool> pool) {
    std::vector<std::shared_ptr<asio::io_context>> contexts;
    for (std::size_t i = 0; i < std::max<std::size_t>(1, threads); ++i) {
      threads_.push_back(std::make_unique<IoThread>());
      contexts.push_back(threads_.back()->context());
    }
    acceptor_ =
        std::make_shared<Acceptor>(std::move(contexts), std::move(road), std::move(handler), options, std::move(pool));
    address_ = acceptor_->address();
    acceptor_->start();
  }
  ~StreamListener() override { close(); }

  [[nodiscard]] std::string address() const override { return address_; }

  void close() override {
    acceptor_->close();
    for (const auto& thread : threads_) thread->finish();
  }

 private:
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::shared_ptr<Acceptor> acceptor_;
  std::string address_;
};

}  // namespace

std::unique_ptr<Listener> listen_on(std::shared_ptr<ListeningRoad> road, Handler handler, const ListenOptions& options,
                                    std::size_t threads, std::shared_ptr<BufferPool> pool) {
  if (!options.token.empty()) check_token(options.token);
  return within_room("listener", [&] {
    return std::make_unique<StreamListener>(road, std::move(handler), options, threads, std::move(pool));
  });
}

}  // namespace splitnet::detail
