// SPDX-License-Identifier: Apache-2.0
// Accepts sockets. Private to the stream transports.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "accepted_peer.hpp"
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

/// A socket that somebody has connected to, and the thread that it belongs to.
struct AcceptedStream {
  std::shared_ptr<asio::io_context> context;
  std::unique_ptr<ByteStream> stream;
  ServedPeer::Address address;
};

/// What is spoken on the sockets of a listener. Thread-safe.
class StreamProtocol {
 public:
  virtual ~StreamProtocol() = default;
  /// `gone` runs when the peer has closed, on the thread of its context, once.
  [[nodiscard]] virtual std::shared_ptr<AcceptedPeer> serve(AcceptedStream accepted, AcceptedPeer::Gone gone) = 0;
  /// Only has it hear why it may not stay.
  [[nodiscard]] virtual std::shared_ptr<AcceptedPeer> turn_away(AcceptedStream accepted, const Error& reason,
                                                                AcceptedPeer::Gone gone) = 0;
};

/// `threads` serve it, connections are dealt to them in turn.
std::unique_ptr<Listener> listen_on(std::shared_ptr<ListeningRoad> road, std::shared_ptr<StreamProtocol> protocol,
                                    std::shared_ptr<ServedBy> by, std::size_t threads);

/// Where messages follow one another on a socket, without anything around them.
std::unique_ptr<Listener> listen_on(std::shared_ptr<ListeningRoad> road, Handler handler, const ListenOptions& options,
                                    std::size_t threads, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
