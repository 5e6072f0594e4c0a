// SPDX-License-Identifier: Apache-2.0
#include "tcp_road.hpp"

#include <cstring>
#include <utility>

namespace splitnet::detail {
namespace {

using asio::ip::tcp;

tcp::endpoint tcp_of(const StreamEndpoint& endpoint) {
  tcp::endpoint result;
  std::memcpy(result.data(), endpoint.data(), endpoint.size());
  result.resize(endpoint.size());
  return result;
}

}  // namespace

StreamRoad tcp_road(const TcpEndpoint& endpoint, const ConnectOptions& options, const WrapSocket& wrap) {
  return {endpoint.text,
          [endpoint] {
            std::vector<StreamEndpoint> addresses;
            for (const auto& address : resolve(endpoint)) addresses.emplace_back(address);
            return addresses;
          },
          [wrap, timeout = options.dead_peer_timeout](StreamSocket socket) {
            configure_tcp(socket, timeout);
            return wrap(std::move(socket));
          }};
}

TcpListeningRoad::TcpListeningRoad(TcpEndpoint endpoint, const ListenOptions& options, WrapSocket wrap)
    : endpoint_(std::move(endpoint)),
      may_be_remote_(wrap != nullptr || options.allow_remote || !options.token.empty()),
      dead_peer_timeout_(options.dead_peer_timeout),
      wrap_(std::move(wrap)) {}

StreamAcceptor TcpListeningRoad::bind(asio::io_context& context) {
  StreamAcceptor acceptor(context);
  boost::system::error_code error;
  for (const auto& address : resolve(endpoint_)) {
    if (!may_be_remote_ && !is_loopback(address.address())) {
      throw Error(ErrorCode::invalid_argument,
                  "listen on '" + endpoint_.text + "': " + address.address().to_string() +
                      " can be reached from other machines; expected a loopback address, or a token "
                      "(ListenOptions::token, --token-file), or tls:// or https://, or consent "
                      "(ListenOptions::allow_remote, --allow-remote)");
    }
    acceptor.close(error);
    acceptor.open(address.protocol(), error);
    // Only lets a restarted server have its port back at once; a port that is listened on stays taken.
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor.bind(StreamEndpoint(address), error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return acceptor;
  }
  throw Error(ErrorCode::unavailable, "listen on '" + endpoint_.text + "': " + error.message());
}

std::string TcpListeningRoad::address(const StreamAcceptor& acceptor) const {
  return to_uri(endpoint_.scheme, tcp_of(acceptor.local_endpoint()));
}

ServedPeer::Address TcpListeningRoad::identify(StreamSocket& socket) const {
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) throw Error(ErrorCode::unavailable, "listener: the peer is gone already");
  configure_tcp(socket, dead_peer_timeout_);
  const auto address = tcp_of(peer);
  return {address.address().to_string(), to_uri(endpoint_.scheme, address)};
}

std::unique_ptr<ByteStream> TcpListeningRoad::wrap(StreamSocket socket) const {
  return wrap_ ? wrap_(std::move(socket)) : std::make_unique<ByteStream>(std::move(socket));
}

}  // namespace splitnet::detail
