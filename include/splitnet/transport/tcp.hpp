// SPDX-License-Identifier: Apache-2.0
/// \file
/// `tcp://host:port`: framed messages over TCP. Plain text: use it on this machine and on trusted links.
#pragma once

#include <cstddef>
#include <memory>

#include "splitnet/transport.hpp"

namespace splitnet {

struct TcpOptions {
  /// Threads that serve one listener; connections are dealt to them in turn. A handler that blocks holds
  /// up the connections of its thread only.
  std::size_t listener_threads = 2;
  /// Receive buffers of large messages that are kept for the next one, in bytes (over all connections
  /// and listeners of one transport). Fresh memory costs a page fault per 4 KiB.
  std::size_t receive_pool_bytes = std::size_t{64} << 20;
};

/// Endpoints: `tcp://127.0.0.1:7070`, `tcp://[::1]:7070`, `tcp://name:7070`; port 0 lets `listen` choose.
/// A name is resolved by the system, whose own time-outs are not bounded by `connect_timeout`.
std::shared_ptr<Transport> make_tcp_transport(const TcpOptions& options = {});

}  // namespace splitnet
