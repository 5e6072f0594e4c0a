// SPDX-License-Identifier: Apache-2.0
#include "stream_listener.hpp"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "io_thread.hpp"
#include "message_protocol.hpp"
#include "splitnet/access.hpp"
#include "within_room.hpp"

namespace splitnet::detail {
namespace {

// After an accept that failed for want of descriptors or memory: trying at once would spin.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);
// Peers that are turned away and hear why; more are dropped without a word.
constexpr std::size_t kMostTurnedAway = 64;

/// Everything of a listener that pending work may still refer to.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(std::vector<std::shared_ptr<asio::io_context>> contexts, std::shared_ptr<ListeningRoad> road,
           std::shared_ptr<StreamProtocol> protocol, std::shared_ptr<ServedBy> by)
      : contexts_(std::move(contexts)),
        road_(std::move(road)),
        protocol_(std::move(protocol)),
        by_(std::move(by)),
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
  void turn_away(StreamSocket socket, std::size_t index, const std::string& whom, const Error& reason);
  void forget(const AcceptedPeer* peer);

  using Peers = std::unordered_map<const AcceptedPeer*, std::shared_ptr<AcceptedPeer>>;
  const std::vector<std::shared_ptr<asio::io_context>> contexts_;
  const std::shared_ptr<ListeningRoad> road_;
  const std::shared_ptr<StreamProtocol> protocol_;
  const std::shared_ptr<ServedBy> by_;
  StreamAcceptor acceptor_;   // The first context's thread only, once started.
  asio::steady_timer pause_;  // Likewise.
  std::size_t accepted_ = 0;  // Likewise.

  std::mutex mutex_;
  Peers peers_;
  Peers turned_away_;
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
    auto peer = protocol_->serve({contexts_[index], road_->wrap(std::move(socket)), std::move(address)},
                                 [self = shared_from_this()](const auto* gone) { self->forget(gone); });
    peers_.emplace(peer.get(), peer);
    peer->start();
  } catch (const Error& error) {
    turn_away(std::move(socket), index, address.text, error);
  }
}

void Acceptor::turn_away(StreamSocket socket, std::size_t index, const std::string& whom, const Error& reason) {
  by_->refusals.note(whom, reason);
  const std::lock_guard lock(mutex_);
  if (closed_ || turned_away_.size() >= kMostTurnedAway) return;
  auto peer = protocol_->turn_away({contexts_[index], road_->wrap(std::move(socket)), {}}, reason,
                                   [self = shared_from_this()](const auto* gone) { self->forget(gone); });
  turned_away_.emplace(peer.get(), peer);
  peer->start();
}

void Acceptor::forget(const AcceptedPeer* peer) {
  const std::lock_guard lock(mutex_);
  peers_.erase(peer);
  turned_away_.erase(peer);
}

void Acceptor::close() {
  Peers peers;
  Peers turned_away;
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
  for (const auto& [key, peer] : peers) peer->close(reason);
  for (const auto& [key, peer] : turned_away) peer->close(reason);
  road_->forget();
}

class StreamListener : public Listener {
 public:
  StreamListener(std::shared_ptr<ListeningRoad> road, std::shared_ptr<StreamProtocol> protocol,
                 std::shared_ptr<ServedBy> by, std::size_t threads) {
    std::vector<std::shared_ptr<asio::io_context>> contexts;
    for (std::size_t i = 0; i < std::max<std::size_t>(1, threads); ++i) {
      threads_.push_back(std::make_unique<IoThread>());
      contexts.push_back(threads_.back()->context());
    }
    acceptor_ = std::make_shared<Acceptor>(std::move(contexts), std::move(road), std::move(protocol), std::move(by));
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

std::unique_ptr<Listener> listen_on(std::shared_ptr<ListeningRoad> road, std::shared_ptr<StreamProtocol> protocol,
                                    std::shared_ptr<ServedBy> by, std::size_t threads) {
  if (!by->options.token.empty()) check_token(by->options.token);
  return within_room("listener", [&] {
    return std::make_unique<StreamListener>(std::move(road), std::move(protocol), std::move(by), threads);
  });
}

std::unique_ptr<Listener> listen_on(std::shared_ptr<ListeningRoad> road, Handler handler, const ListenOptions& options,
                                    std::size_t threads, std::shared_ptr<BufferPool> pool) {
  auto by = std::make_shared<ServedBy>(std::move(handler), options);
  auto protocol = make_message_protocol(by, std::move(pool));
  return listen_on(std::move(road), std::move(protocol), std::move(by), threads);
}

}  // namespace splitnet::detail
