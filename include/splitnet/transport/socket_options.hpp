// SPDX-License-Identifier: Apache-2.0
/// \file
/// What the transports over stream sockets have in common.
#pragma once

#include <cstddef>

namespace splitnet {

struct SocketOptions {
  /// Threads that serve one listener; connections are dealt to them in turn. A handler that blocks holds
  /// up the connections of its thread only.
  std::size_t listener_threads = 2;
  /// Receive buffers of large messages that are kept for the next one, in bytes (over all connections
  /// and listeners of one transport). Fresh memory costs a page fault per 4 KiB.
  std::size_t receive_pool_bytes = std::size_t{64} << 20;
};

}  // namespace splitnet
