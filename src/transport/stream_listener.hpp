// SPDX-License-Identifier: Apache-2.0
// Accepts sockets. Private to the stream transports.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "buffer_pool.hpp"
#include "byte_stream.hpp"
#include "served_peer.hpp"

namespace splitnet::detail {

/// What makes a kind of stream socket different from others where it listens. Stateless from outside; thread-safe.
class ListeningRoad {
 public:
  virtual ~ListeningRoad() = default;
  /// Bound and listening. Throws unavailable, invalid_argument.
  [[nodiscard]] virtual StreamAcceptor bind(asio::io_context& context) = 0;
  /// After `bind`: the endpoint that reaches it.
  [[nodiscard]] virtual std::string address(const StreamAcceptor& acceptor) const = 0;
  /// Who has connected. Throws unavailable (gone already), unauthenticated (may not).
  [[nodiscard]] virtual ServedPeer::Address identify(StreamSocket& socket) const = 0;
  [[nodiscard]] virtual std::unique_ptr<ByteStream> wrap(StreamSocket socket) const = 0;
  /// The listener has closed.
  virtual void forget() noexcept {}
};

/// `threads` serve it, connections are dealt to them in turn.
std::unique_ptr<Listener> listen_on(std::shared_ptr<ListeningRoad> road, Handler handler, const ListenOptions& options,
                                    std::size_t threads, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
