// SPDX-License-Identifier: Apache-2.0
/// \file
/// `http://host:port/path` and `https://host:port/path`: one call is one POST, through gateways, reverse proxies and
/// load balancers. Slower than tcp: and tls:, which are to be preferred where the road is one's own.
#pragma once

#include <cstddef>
#include <memory>

#include "splitnet/transport.hpp"
#include "splitnet/transport/socket_options.hpp"
#include "splitnet/transport/tls.hpp"

namespace splitnet {

struct HttpOptions {
  SocketOptions sockets;
  /// Keep-alive sockets of one connection, each with one call under way; further calls wait for one of them. They are
  /// opened as they are needed, and each counts against ListenOptions::max_connections.
  std::size_t max_sockets = 16;
};

/// Endpoints: `http://127.0.0.1:8080`, `http://[::1]:8080/models/tail`, `http://name` (port 80). Without a path it is
/// `/`; a listener takes requests at its own path only. Port 0 lets `listen` choose.
///
/// The body of a request, and of its response, is one message (docs/wire_format.md), of type application/octet-stream.
/// The token travels as `Authorization: Bearer TOKEN` with each request. An error has a fitting status
/// (docs/transports.md), also one that a proxy makes. A cancelled call closes its socket; the handler's stop token is
/// asked to stop when the peer closes.
///
/// A well-formed trace context of a request (trace.hpp) stands in its head too, as `traceparent` and `tracestate`; a
/// request that has one in its head alone comes to the handler with that.
///
/// A request that finds its idle socket closed, without a byte of an answer, is sent again once: a handler may see a
/// request twice.
///
/// ListenOptions::max_calls_in_flight and ListenOptions::max_requests_per_s hold for all sockets of an address
/// together, and so does the count of wrong tokens: behind a proxy all clients have the proxy's address.
/// ListenOptions::handshake_timeout is the time for the head of a request too.
std::shared_ptr<Transport> make_http_transport(const HttpOptions& options = {});

/// The same encrypted (port 443 where none is named); certificates and errors as of make_tls_transport.
std::shared_ptr<Transport> make_https_transport(const TlsOptions& tls = {}, const HttpOptions& options = {});

}  // namespace splitnet
