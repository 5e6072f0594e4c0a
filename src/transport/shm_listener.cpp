// SPDX-License-Identifier: Apache-2.0
#include "shm_listener.hpp"

#include <algorithm>
#include <functional>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "io_thread.hpp"
#include "served_peer.hpp"
#include "shm_channel.hpp"
#include "shm_dialer.hpp"
#include "splitnet/access.hpp"
#include "within_room.hpp"

namespace splitnet::detail {
namespace {

// After an accept that failed for want of descriptors or memory: trying at once would spin.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);

/// A socket on which no offer has come yet.
struct Visitor {
  Visitor(std::shared_ptr<asio::io_context> its_context, StreamSocket its_socket)
      : context(std::move(its_context)), socket(std::move(its_socket)), timer(*context) {}
  const std::shared_ptr<asio::io_context> context;
  StreamSocket socket;  // The context's thread only.
  asio::steady_timer timer;
};

/// Everything of a listener that pending work may still refer to.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(std::vector<std::shared_ptr<asio::io_context>> contexts, UnixAddress address, Handler handler,
           const ListenOptions& options, const ShmOptions& shm, std::shared_ptr<BufferPool> pool)
      : contexts_(std::move(contexts)),
        by_(std::make_shared<ServedBy>(std::move(handler), options)),
        shm_(shm),
        pool_(std::move(pool)),
        binding_(std::move(address)),
        acceptor_(binding_.bind(*contexts_.front())),
        pause_(*contexts_.front()) {}

  void start() {
    asio::dispatch(*contexts_.front(), [self = shared_from_this()] { self->accept(); });
  }
  void close();

 private:
  void accept();
  void on_accept(const boost::system::error_code& error, StreamSocket socket, std::size_t index);
  void welcome(StreamSocket socket, std::size_t index);
  void await_offer(const std::shared_ptr<Visitor>& visitor);
  void on_offer(const std::shared_ptr<Visitor>& visitor);
  [[nodiscard]] ShmPeer meet(Visitor& visitor, const ucred& who) const;
  void serve(const std::shared_ptr<Visitor>& visitor, ShmPeer peer, const ucred& who);
  void turn_away(StreamSocket& socket, const std::string& peer, const Error& why) noexcept;
  void forget(const std::shared_ptr<Visitor>& visitor);
  void forget(const std::shared_ptr<ServedPeer>& peer);

  const std::vector<std::shared_ptr<asio::io_context>> contexts_;
  const std::shared_ptr<ServedBy> by_;
  const ShmOptions shm_;
  const std::shared_ptr<BufferPool> pool_;
  UnixBinding binding_;
  StreamAcceptor acceptor_;   // The first context's thread only, once started.
  asio::steady_timer pause_;  // Likewise.
  std::size_t accepted_ = 0;  // Likewise.

  std::mutex mutex_;
  std::unordered_set<std::shared_ptr<Visitor>> visitors_;
  std::unordered_set<std::shared_ptr<ServedPeer>> peers_;
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
    welcome(std::move(socket), index);
    return accept();
  }
  pause_.expires_after(kAcceptPause);
  pause_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->accept();
  });
}

std::string host_of(const ucred& who) {
  return "user " + std::to_string(who.uid);
}

std::string process_of(const ucred& who) {
  return "shm:process " + std::to_string(who.pid);
}

void Acceptor::welcome(StreamSocket socket, std::size_t index) {
  std::string peer;
  try {
    const ucred who = credentials_of(socket);
    peer = process_of(who);
    if (!is_trusted(who) && !by_->admission.needs_token()) {
      throw Error(ErrorCode::unauthenticated, "listener: another user's process may not connect without a token");
    }
    if (const auto refused = by_->admission.refuse_connection(host_of(who))) throw *refused;
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    const std::size_t most = by_->options.max_connections;
    if (peers_.size() + visitors_.size() >= most) {
      throw Error(ErrorCode::overloaded, "listener: all " + std::to_string(most) + " connections are in use");
    }
    auto visitor = std::make_shared<Visitor>(contexts_[index], std::move(socket));
    visitors_.insert(visitor);
    asio::post(*visitor->context, [self = shared_from_this(), visitor] { self->await_offer(visitor); });
  } catch (const Error& error) {
    turn_away(socket, peer, error);
  }
}

void Acceptor::await_offer(const std::shared_ptr<Visitor>& visitor) {
  const auto time = std::min<std::chrono::nanoseconds>(by_->options.handshake_timeout, std::chrono::hours(24));
  visitor->timer.expires_after(time);
  visitor->timer.async_wait([visitor](const boost::system::error_code& aborted) {
    boost::system::error_code ignored;
    if (!aborted) visitor->socket.cancel(ignored);
  });
  visitor->socket.async_wait(StreamSocket::wait_read,
                             [self = shared_from_this(), visitor](const boost::system::error_code& aborted) {
                               visitor->timer.cancel();
                               aborted ? self->forget(visitor) : self->on_offer(visitor);
                             });
}

void Acceptor::on_offer(const std::shared_ptr<Visitor>& visitor) {
  std::string peer;
  try {
    const ucred who = credentials_of(visitor->socket);
    peer = process_of(who);
    return serve(visitor, meet(*visitor, who), who);
  } catch (const Error& error) {
    turn_away(visitor->socket, peer, error);
  } catch (const std::exception& error) {
    turn_away(visitor->socket, peer, Error(ErrorCode::overloaded, std::string("listener: ") + error.what()));
  }
  forget(visitor);
}

ShmPeer Acceptor::meet(Visitor& visitor, const ucred& who) const {
  const int socket = visitor.socket.native_handle();
  const auto offer = receive_offer(socket);
  offer.offer.layout.check(shm_.max_peer_arena_bytes);
  auto theirs = std::make_shared<PeerShmMemory>(offer.memory, offer.offer.layout);
  auto own = std::make_shared<OwnShmMemory>(layout_of(shm_));
  send_offer(socket, {own->layout(), std::nullopt}, own->take_descriptor());
  return {std::move(visitor.socket), std::move(own), std::move(theirs), is_trusted(who)};
}

/// In the visitor's place.
void Acceptor::serve(const std::shared_ptr<Visitor>& visitor, ShmPeer peer, const ucred& who) {
  const ServedPeer::Address address{host_of(who), process_of(who)};
  auto channel = std::make_shared<ShmChannel>(visitor->context, std::move(peer), pool_, by_->channel_options(), shm_,
                                              address.text);
  const std::lock_guard lock(mutex_);
  visitors_.erase(visitor);
  if (closed_) return;
  auto served = std::make_shared<ServedPeer>(by_, std::move(channel), address,
                                             [self = shared_from_this()](const auto& gone) { self->forget(gone); });
  peers_.insert(served);
  served->start();
}

void Acceptor::turn_away(StreamSocket& socket, const std::string& peer, const Error& why) noexcept {
  try {
    by_->refusals.note(peer, why);
    send_offer(socket.native_handle(), {{}, why}, Descriptor());
  } catch (const std::exception&) {  // Then the peer sees the socket close.
  }
}

void Acceptor::forget(const std::shared_ptr<Visitor>& visitor) {
  const std::lock_guard lock(mutex_);
  visitors_.erase(visitor);
}

void Acceptor::forget(const std::shared_ptr<ServedPeer>& peer) {
  const std::lock_guard lock(mutex_);
  peers_.erase(peer);
}

void Acceptor::close() {
  std::unordered_set<std::shared_ptr<ServedPeer>> peers;
  std::unordered_set<std::shared_ptr<Visitor>> visitors;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;  // Work for a context that runs no more would keep the context, and itself, for ever.
    closed_ = true;
    peers = peers_;
    visitors = visitors_;
  }
  asio::dispatch(*contexts_.front(), [self = shared_from_this()] {
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    self->pause_.cancel();
  });
  for (const auto& visitor : visitors) {
    asio::post(*visitor->context, [visitor] {
      boost::system::error_code ignored;
      visitor->socket.cancel(ignored);
    });
  }
  for (const auto& peer : peers) peer->close(Error(ErrorCode::unavailable, "listener: closed"));
  binding_.forget();
}

class ShmListener : public Listener {
 public:
  ShmListener(const UnixAddress& address, Handler handler, const ListenOptions& options, const ShmOptions& shm,
              std::shared_ptr<BufferPool> pool)
      : address_(address.text) {
    std::vector<std::shared_ptr<asio::io_context>> contexts;
    for (std::size_t i = 0; i < std::max<std::size_t>(1, shm.listener_threads); ++i) {
      threads_.push_back(std::make_unique<IoThread>());
      contexts.push_back(threads_.back()->context());
    }
    acceptor_ =
        std::make_shared<Acceptor>(std::move(contexts), address, std::move(handler), options, shm, std::move(pool));
    acceptor_->start();
  }
  ~ShmListener() override { close(); }

  [[nodiscard]] std::string address() const override { return address_; }

  void close() override {
    acceptor_->close();
    for (const auto& thread : threads_) thread->finish();
  }

 private:
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::shared_ptr<Acceptor> acceptor_;
  const std::string address_;
};

}  // namespace

std::unique_ptr<Listener> shm_listen(UnixAddress address, Handler handler, const ListenOptions& options,
                                     const ShmOptions& shm, std::shared_ptr<BufferPool> pool) {
  if (!options.token.empty()) check_token(options.token);
  return within_room("listener on '" + address.text + "'", [&] {
    return std::make_unique<ShmListener>(address, std::move(handler), options, shm, std::move(pool));
  });
}

}  // namespace splitnet::detail
