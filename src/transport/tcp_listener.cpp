// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>

#include <algorithm>
#include <unordered_set>

#include "asio.hpp"
#include "io_thread.hpp"
#include "served_calls.hpp"
#include "tcp_channel.hpp"
#include "tcp_endpoint.hpp"
#include "tcp_parts.hpp"

namespace splitnet::detail {
namespace {

using asio::ip::tcp;

// After an accept that failed for want of descriptors or memory: trying at once would spin.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);

EncodedMessage encode_error(std::uint64_t id, const Error& error) {
  auto message = Message::make_error(error);
  message.id = id;
  return encode(message);
}

/// One peer of a listener.
class Served : public ChannelOwner, public std::enable_shared_from_this<Served> {
 public:
  using Gone = std::function<void(const std::shared_ptr<Served>&)>;
  Served(std::shared_ptr<asio::io_context> context, tcp::socket socket, const std::string& peer,
         const ListenOptions& options, std::shared_ptr<const Handler> handler, std::shared_ptr<BufferPool> pool,
         Gone gone)
      : options_(options),
        peer_(peer),
        handler_(std::move(handler)),
        gone_(std::move(gone)),
        channel_(std::make_shared<TcpChannel>(
            std::move(context), std::move(socket), std::move(pool),
            ChannelOptions{options.limits, options.max_queued_bytes, options.message_timeout}, peer)) {}

  void start() {
    calls_ = std::make_shared<ServedCalls>([weak = weak_from_this()](Message reply) {
      if (auto self = weak.lock()) self->send(reply);
    });
    channel_->start(shared_from_this());
  }
  void close(const Error& reason) { channel_->close(reason); }

  void on_message(Message message) override {
    switch (message.kind) {
      case MessageKind::request: return calls_->serve(std::move(message), *handler_, peer_);
      case MessageKind::cancel: return calls_->cancel(message.id);
      default: return on_bad_stream(Error(ErrorCode::corrupt, "listener: got a reply instead of a request"));
    }
  }
  void on_bad_message(const MessageHeader& header, const Error& error) override {
    // Damaged bytes say that nothing else of this peer can be trusted; other errors are about one message.
    if (error.code() == ErrorCode::corrupt) return channel_->close_after(encode_error(header.id, error), error);
    if (header.kind == MessageKind::request) channel_->send(encode_error(header.id, error));
  }
  void on_bad_stream(const Error& error) override { channel_->close_after(encode_error(0, error), error); }
  void on_closed(const Error&) override {
    calls_->close();
    gone_(shared_from_this());
  }
  [[nodiscard]] bool may_read() const override { return calls_->in_flight() < options_.max_calls_in_flight; }

 private:
  void send(const Message& reply) {
    const auto sent = channel_->send(encode_reply(reply));
    if (sent == TcpChannel::Sent::queue_full) {
      channel_->close(
          Error(ErrorCode::overloaded, "connection with " + peer_ + ": the peer does not read its replies"));
    }
    channel_->resume();
  }
  [[nodiscard]] EncodedMessage encode_reply(const Message& reply) const {
    try {
      return encode(reply, options_.payload_checksum, options_.limits);
    } catch (const Error& error) {
      return encode_error(reply.id, error);
    } catch (const std::exception& error) {
      return encode_error(reply.id, Error(ErrorCode::internal, std::string("reply: ") + error.what()));
    }
  }

  const ListenOptions options_;
  const std::string peer_;
  const std::shared_ptr<const Handler> handler_;
  const Gone gone_;
  const std::shared_ptr<TcpChannel> channel_;
  std::shared_ptr<ServedCalls> calls_;
};

/// Everything of a listener that pending work may still refer to.
class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(std::vector<std::shared_ptr<asio::io_context>> contexts, Handler handler, const ListenOptions& options,
           std::shared_ptr<BufferPool> pool)
      : contexts_(std::move(contexts)),
        handler_(std::make_shared<const Handler>(std::move(handler))),
        options_(options),
        pool_(std::move(pool)),
        acceptor_(*contexts_.front()),
        pause_(*contexts_.front()) {}

  void bind(const TcpEndpoint& endpoint);
  [[nodiscard]] tcp::endpoint local() const { return acceptor_.local_endpoint(); }
  void start() {
    asio::dispatch(*contexts_.front(), [self = shared_from_this()] { self->accept(); });
  }
  void close();

 private:
  void accept();
  void on_accept(const boost::system::error_code& error, tcp::socket socket, std::size_t index);
  void admit(tcp::socket socket, std::size_t index);
  static void turn_away(tcp::socket& socket, std::size_t limit);
  void forget(const std::shared_ptr<Served>& peer);

  const std::vector<std::shared_ptr<asio::io_context>> contexts_;
  const std::shared_ptr<const Handler> handler_;
  const ListenOptions options_;
  const std::shared_ptr<BufferPool> pool_;
  tcp::acceptor acceptor_;    // The first context's thread only, once started.
  asio::steady_timer pause_;  // Likewise.
  std::size_t accepted_ = 0;  // Likewise.

  std::mutex mutex_;
  std::unordered_set<std::shared_ptr<Served>> peers_;
  bool closed_ = false;
};

void Acceptor::bind(const TcpEndpoint& endpoint) {
  boost::system::error_code error;
  for (const auto& address : resolve(endpoint)) {
    if (!options_.allow_remote && !is_loopback(address.address())) {
      throw Error(ErrorCode::invalid_argument, "listen on '" + endpoint.text + "': " + address.address().to_string() +
                                                   " can be reached from other machines; expected a loopback "
                                                   "address, or ListenOptions::allow_remote");
    }
    acceptor_.close(error);
    acceptor_.open(address.protocol(), error);
    // Only lets a restarted server have its port back at once; a port that is listened on stays taken.
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(address, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return;
  }
  throw Error(ErrorCode::unavailable, "listen on '" + endpoint.text + "': " + error.message());
}

void Acceptor::accept() {
  if (!acceptor_.is_open()) return;
  const auto index = accepted_++ % contexts_.size();
  acceptor_.async_accept(*contexts_[index], [self = shared_from_this(), index](const boost::system::error_code& error,
                                                                               tcp::socket socket) {
    self->on_accept(error, std::move(socket), index);
  });
}

void Acceptor::on_accept(const boost::system::error_code& error, tcp::socket socket, std::size_t index) {
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

void Acceptor::admit(tcp::socket socket, std::size_t index) {
  boost::system::error_code error;
  socket.non_blocking(true, error);
  socket.set_option(tcp::no_delay(true), error);
  socket.set_option(asio::socket_base::keep_alive(true), error);
  const auto address = socket.remote_endpoint(error);
  if (error) return;  // Gone already.
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  if (peers_.size() >= options_.max_connections) return turn_away(socket, options_.max_connections);
  auto peer = std::make_shared<Served>(contexts_[index], std::move(socket), to_uri(address), options_, handler_, pool_,
                                       [self = shared_from_this()](const auto& gone) { self->forget(gone); });
  peers_.insert(peer);
  peer->start();
}

void Acceptor::turn_away(tcp::socket& socket, std::size_t limit) {
  const auto word = encode_error(0, Error(ErrorCode::overloaded,
                                          "listener: all " + std::to_string(limit) + " connections are in use"))
                        .join();
  // A new socket takes a few hundred bytes at once; if not, the peer sees the connection close.
  (void)!::send(socket.native_handle(), word.data(), word.size_bytes(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void Acceptor::forget(const std::shared_ptr<Served>& peer) {
  const std::lock_guard lock(mutex_);
  peers_.erase(peer);
}

void Acceptor::close() {
  std::unordered_set<std::shared_ptr<Served>> peers;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;  // Work for a context that runs no more would keep the context, and itself, for ever.
    closed_ = true;
    peers = peers_;
  }
  asio::dispatch(*contexts_.front(), [self = shared_from_this()] {
    boost::system::error_code ignored;
    self->acceptor_.close(ignored);
    self->pause_.cancel();
  });
  for (const auto& peer : peers) peer->close(Error(ErrorCode::unavailable, "listener: closed"));
}

class TcpListener : public Listener {
 public:
  TcpListener(const TcpEndpoint& endpoint, Handler handler, const ListenOptions& options, const TcpOptions& tcp,
              std::shared_ptr<BufferPool> pool) {
    std::vector<std::shared_ptr<asio::io_context>> contexts;
    for (std::size_t i = 0; i < std::max<std::size_t>(1, tcp.listener_threads); ++i) {
      threads_.push_back(std::make_unique<IoThread>());
      contexts.push_back(threads_.back()->context());
    }
    acceptor_ = std::make_shared<Acceptor>(std::move(contexts), std::move(handler), options, std::move(pool));
    acceptor_->bind(endpoint);
    address_ = to_uri(acceptor_->local());
    acceptor_->start();
  }
  ~TcpListener() override { close(); }

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

std::unique_ptr<Listener> tcp_listen(const std::string& endpoint, Handler handler, const ListenOptions& options,
                                     const TcpOptions& tcp, std::shared_ptr<BufferPool> pool) {
  return std::make_unique<TcpListener>(parse_tcp_endpoint(endpoint), std::move(handler), options, tcp, std::move(pool));
}

}  // namespace splitnet::detail
