// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/unix.hpp"

#include <string_view>
#include <utility>

#include "caller.hpp"
#include "stream_dialer.hpp"
#include "stream_listener.hpp"
#include "unix_socket.hpp"

namespace splitnet {
namespace {

using detail::StreamSocket;
using detail::UnixAddress;

UnixAddress parse(const std::string& text) {
  constexpr std::string_view scheme = "unix://";
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument,
                "endpoint '" + text + "': " + what + "; expected unix:///path/of/a/socket or unix://@name");
  };
  if (!text.starts_with(scheme)) refuse("not a unix endpoint");
  std::string path = text.substr(scheme.size());
  if (path.size() < 2 || (path.front() != '/' && path.front() != '@')) refuse("no path and no name");
  if (path.find('\0') != std::string::npos) refuse("a zero byte");
  const std::size_t longest = detail::longest_unix_path();
  if (path.size() > longest) {
    refuse("a path of " + std::to_string(path.size()) + " bytes, at most " + std::to_string(longest) + " are possible");
  }
  if (path.front() == '@') path.front() = '\0';
  return {text, path};
}

/// A name can be taken by anybody.
class CheckedStream : public detail::ByteStream {
 public:
  CheckedStream(StreamSocket socket, bool needs_trust) : ByteStream(std::move(socket)), needs_trust_(needs_trust) {}

  void async_handshake(Done done) override {
    const bool is_refused = needs_trust_ && !detail::is_trusted(detail::credentials_of(socket()));
    done(is_refused ? detail::asio::error::access_denied : boost::system::error_code());
  }
  [[nodiscard]] Error explain(const boost::system::error_code& error, const std::string& peer) const override {
    if (error != detail::asio::error::access_denied) return ByteStream::explain(error, peer);
    return Error(ErrorCode::unauthenticated, "connection with " + peer + ": another user listens under this name");
  }

 private:
  const bool needs_trust_;
};

class UnixListeningRoad : public detail::ListeningRoad {
 public:
  UnixListeningRoad(UnixAddress address, const ListenOptions& options)
      : needs_trust_(!address.is_file() && options.token.empty()), binding_(std::move(address)) {}

  detail::StreamAcceptor bind(detail::asio::io_context& context) override { return binding_.bind(context); }
  [[nodiscard]] std::string address(const detail::StreamAcceptor&) const override { return binding_.address().text; }
  [[nodiscard]] detail::ServedPeer::Address identify(StreamSocket& socket) const override {
    const ucred peer = detail::credentials_of(socket);
    if (needs_trust_ && !detail::is_trusted(peer)) {
      throw Error(ErrorCode::unauthenticated, "listener: another user's process may not connect without a token");
    }
    return {"user " + std::to_string(peer.uid), "unix:process " + std::to_string(peer.pid)};
  }
  [[nodiscard]] std::unique_ptr<detail::ByteStream> wrap(StreamSocket socket) const override {
    return std::make_unique<detail::ByteStream>(std::move(socket));
  }
  void forget() noexcept override { binding_.forget(); }

 private:
  const bool needs_trust_;
  detail::UnixBinding binding_;
};

class UnixTransport : public Transport {
 public:
  explicit UnixTransport(const SocketOptions& options)
      : options_(options), pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    const UnixAddress address = parse(endpoint);
    const bool needs_trust = !address.is_file();
    detail::StreamRoad road{
        endpoint, [address] { return std::vector<detail::StreamEndpoint>{address.endpoint()}; },
        [needs_trust](StreamSocket socket) { return std::make_unique<CheckedStream>(std::move(socket), needs_trust); }};
    return detail::connect_by(detail::make_stream_dialer(std::move(road), options, pool_), endpoint,
                              detail::without_checksum(options));
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    return detail::listen_on(std::make_shared<UnixListeningRoad>(parse(endpoint), options), std::move(handler),
                             detail::without_checksum(options), options_.listener_threads, pool_);
  }

 private:
  const SocketOptions options_;
  const std::shared_ptr<detail::BufferPool> pool_;
};

}  // namespace

std::shared_ptr<Transport> make_unix_transport(const SocketOptions& options) {
  return std::make_shared<UnixTransport>(options);
}

}  // namespace splitnet
