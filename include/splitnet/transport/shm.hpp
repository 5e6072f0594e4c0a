// SPDX-License-Identifier: Apache-2.0
/// \file
/// `shm://name`: two processes of one machine, tensors in memory that both see. Linux.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "splitnet/transport.hpp"

namespace splitnet {

/// Each side of a connection has memory that it alone writes and the other one reads: the options are about this
/// side's.
struct ShmOptions {
  /// Tensors that are sent, and memory from Connection::allocate, in bytes per connection, rounded up to 64 KiB. It is
  /// taken as it is used. What finds no room in it is sent through a small ring, at about the speed of a pipe.
  std::size_t arena_bytes = std::size_t{256} << 20;
  /// Of it, what stays in memory when nothing lies in it, in bytes per connection: fresh memory costs a page fault per
  /// 4 KiB.
  std::size_t kept_bytes = std::size_t{64} << 20;
  /// The largest arena of a peer that is taken: what its pages hold may count as memory of this process.
  std::size_t max_peer_arena_bytes = std::size_t{1} << 30;
  /// Receive buffers of large messages that are kept for the next one, in bytes (over all connections and listeners of
  /// one transport): for what is not read where it lies.
  std::size_t receive_pool_bytes = std::size_t{64} << 20;
  /// Threads that serve one listener; connections are dealt to them in turn. A handler that blocks holds up the
  /// connections of its thread only.
  std::size_t listener_threads = 2;
  /// How long a thread looks for the next message before it sleeps, giving way to others meanwhile, when the last two
  /// came within twice as long. Waking a sleeping core costs tens of microseconds. 0: it sleeps at once.
  std::chrono::nanoseconds spin = std::chrono::microseconds(150);
};

/// Endpoints: `shm://name`, 1 to 64 letters, digits, '.', '_' and '-', found by processes of the same user and network
/// namespace; `shm:///path`, a socket file (mode 600, until you change it; one that a dead listener left behind is
/// replaced, and it goes when the listener closes).
///
/// Who may connect: processes of the listener's user and of root, without a token too where the listener has none.
/// Others only with the token; their bytes are copied before they are looked at. A name that a listener of another user
/// has taken is not called on: who connects gets `unauthenticated`.
///
/// Tensors that arrive are read where the sender wrote them (Storage::is_foreign): they must not be written to, and
/// they take the sender's room until the last handle goes. Who sends a tensor that lies in memory of
/// Connection::allocate or CallContext::allocate leaves its bytes alone until `storage.owner().use_count()` is what it
/// was before, which may be later than the answer.
///
/// ConnectOptions::payload_checksum and ListenOptions::payload_checksum are ignored: payloads have none. Throws
/// invalid_argument when ShmOptions::arena_bytes is out of range.
std::shared_ptr<Transport> make_shm_transport(const ShmOptions& options = {});

}  // namespace splitnet
