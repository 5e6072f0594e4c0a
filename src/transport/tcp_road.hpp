// SPDX-License-Identifier: Apache-2.0
// How sockets of TCP are opened and accepted, with or without encryption. Private.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "stream_dialer.hpp"
#include "stream_listener.hpp"
#include "tcp_endpoint.hpp"

namespace splitnet::detail {

using WrapSocket = std::function<std::unique_ptr<ByteStream>(StreamSocket)>;

StreamRoad tcp_road(const TcpEndpoint& endpoint, const ConnectOptions& options, const WrapSocket& wrap);

class TcpListeningRoad : public ListeningRoad {
 public:
  /// `wrap`: none for plain bytes, which other machines may reach only with a token or ListenOptions::allow_remote.
  TcpListeningRoad(TcpEndpoint endpoint, const ListenOptions& options, WrapSocket wrap = nullptr);

  StreamAcceptor bind(asio::io_context& context) override;
  [[nodiscard]] std::string address(const StreamAcceptor& acceptor) const override;
  [[nodiscard]] ServedPeer::Address identify(StreamSocket& socket) const override;
  [[nodiscard]] std::unique_ptr<ByteStream> wrap(StreamSocket socket) const override;

 private:
  const TcpEndpoint endpoint_;
  const bool may_be_remote_;
  const std::chrono::nanoseconds dead_peer_timeout_;
  const WrapSocket wrap_;
};

}  // namespace splitnet::detail
