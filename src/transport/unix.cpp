// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/unix.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "caller.hpp"
#include "stream_dialer.hpp"
#include "stream_listener.hpp"

namespace splitnet {
namespace {

using detail::StreamSocket;
using UnixEndpoint = detail::asio::local::stream_protocol::endpoint;

struct Name {
  std::string text;  ///< As the user wrote it.
  std::string path;  ///< Of a file; an abstract one begins with a zero byte.
  [[nodiscard]] bool is_file() const { return path.front() != '\0'; }
  [[nodiscard]] UnixEndpoint endpoint() const { return UnixEndpoint(path); }
};

Name parse(const std::string& text) {
  constexpr std::string_view scheme = "unix://";
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument,
                "endpoint '" + text + "': " + what + "; expected unix:///path/of/a/socket or unix://@name");
  };
  if (!text.starts_with(scheme)) refuse("not a unix endpoint");
  std::string path = text.substr(scheme.size());
  if (path.size() < 2 || (path.front() != '/' && path.front() != '@')) refuse("no path and no name");
  if (path.find('\0') != std::string::npos) refuse("a zero byte");
  constexpr std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
  if (path.size() > longest) {
    refuse("a path of " + std::to_string(path.size()) + " bytes, at most " + std::to_string(longest) + " are possible");
  }
  if (path.front() == '@') path.front() = '\0';
  return {text, path};
}

ucred credentials_of(StreamSocket& socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    throw Error(ErrorCode::unavailable, "unix socket: the peer is gone already");
  }
  return peer;
}

bool is_trusted(const ucred& peer) {
  return peer.uid == ::geteuid() || peer.uid == 0;
}

/// A name can be taken by anybody.
class CheckedStream : public detail::ByteStream {
 public:
  CheckedStream(StreamSocket socket, bool needs_trust) : ByteStream(std::move(socket)), needs_trust_(needs_trust) {}

  void async_handshake(Done done) override {
    const bool is_refused = needs_trust_ && !is_trusted(credentials_of(socket()));
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
  UnixListeningRoad(Name name, const ListenOptions& options)
      : name_(std::move(name)), needs_trust_(!name_.is_file() && options.token.empty()) {}

  detail::StreamAcceptor bind(detail::asio::io_context& context) override {
    detail::StreamAcceptor acceptor(context, detail::StreamEndpoint(name_.endpoint()).protocol());
    boost::system::error_code error;
    acceptor.bind(name_.endpoint(), error);
    if (error == detail::asio::error::address_in_use && name_.is_file() && is_left_behind()) {
      ::unlink(name_.path.c_str());
      error.clear();
      acceptor.bind(name_.endpoint(), error);
    }
    if (!error && name_.is_file()) {
      // Nobody can connect before `listen`.
      if (::chmod(name_.path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::stat(name_.path.c_str(), &file_) != 0) {
        error.assign(errno, boost::system::system_category());
      }
    }
    if (!error) acceptor.listen(detail::asio::socket_base::max_listen_connections, error);
    if (error) throw Error(ErrorCode::unavailable, "listen on '" + name_.text + "': " + error.message());
    return acceptor;
  }
  [[nodiscard]] std::string address(const detail::StreamAcceptor&) const override { return name_.text; }
  [[nodiscard]] detail::ServedPeer::Address identify(StreamSocket& socket) const override {
    const ucred peer = credentials_of(socket);
    if (needs_trust_ && !is_trusted(peer)) {
      throw Error(ErrorCode::unauthenticated, "listener: another user's process may not connect without a token");
    }
    return {"user " + std::to_string(peer.uid), "unix:process " + std::to_string(peer.pid)};
  }
  [[nodiscard]] std::unique_ptr<detail::ByteStream> wrap(StreamSocket socket) const override {
    return std::make_unique<detail::ByteStream>(std::move(socket));
  }
  void forget() noexcept override {
    struct stat now {};
    const bool is_ours = name_.is_file() && ::stat(name_.path.c_str(), &now) == 0 && now.st_ino == file_.st_ino &&
                         now.st_dev == file_.st_dev;
    if (is_ours) ::unlink(name_.path.c_str());
  }

 private:
  /// A socket's file outlives its process.
  [[nodiscard]] bool is_left_behind() const {
    struct stat found {};
    if (::lstat(name_.path.c_str(), &found) != 0 || !S_ISSOCK(found.st_mode)) return false;
    detail::asio::io_context context;
    detail::asio::local::stream_protocol::socket probe(context);
    boost::system::error_code error;
    probe.connect(name_.endpoint(), error);
    return error == detail::asio::error::connection_refused;
  }

  const Name name_;
  const bool needs_trust_;
  struct stat file_ {};
};

class UnixTransport : public Transport {
 public:
  explicit UnixTransport(const SocketOptions& options)
      : options_(options), pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    const Name name = parse(endpoint);
    const bool needs_trust = !name.is_file();
    detail::StreamRoad road{
        endpoint, [name] { return std::vector<detail::StreamEndpoint>{name.endpoint()}; },
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
