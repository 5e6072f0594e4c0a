// SPDX-License-Identifier: Apache-2.0
/// \file
/// The contract of a transport: three small interfaces. testing/transport_conformance.hpp checks them.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "splitnet/error.hpp"
#include "splitnet/log.hpp"
#include "splitnet/message.hpp"

namespace splitnet {

/// Deadlines are points on the monotonic clock: a jump of the wall clock changes nothing.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

/// An answer or the reason why there is none.
using CallResult = std::variant<Message, Error>;
/// Runs exactly once for every call, on a thread of the transport, never inside `call`. Must not throw
/// and must not block for long.
using Completion = std::function<void(CallResult)>;

/// What a connection does when it is lost (the peer was started anew, say): it connects again by itself, after a pause
/// that doubles with every failure, taken at random between half of it and all of it so that many callers of one worker
/// don't come back at once. Meanwhile calls end with `unavailable` at once. A peer that refuses the token, or speaks
/// another version, is not asked again.
struct Reconnect {
  bool enabled = true;
  std::chrono::nanoseconds first_pause = std::chrono::milliseconds(50);
  std::chrono::nanoseconds longest_pause = std::chrono::seconds(5);
};

/// How a connection is made, and its limits.
struct ConnectOptions {
  /// How long establishing the connection may take.
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(5);
  /// What the listener wants to see before it answers (access.hpp); empty: nothing is shown.
  std::string token = {};
  Reconnect reconnect;
  /// A peer whose machine has not acknowledged anything for so long counts as gone, and calls end with `unavailable`.
  std::chrono::nanoseconds dead_peer_timeout = std::chrono::seconds(10);
  MessageLimits limits;
  /// Checksum over payloads (header and metadata always carry one). Unset: as the road needs it, where neither
  /// encryption nor shared memory makes it unnecessary.
  std::optional<bool> payload_checksum = {};
  /// Calls that may be under way at once; one more ends with `overloaded`.
  std::size_t max_calls_in_flight = 1024;
  /// Bytes waiting to be sent; a call that would exceed it ends with `overloaded`.
  std::size_t max_queued_bytes = std::size_t{1} << 30;
};

/// Who may connect to a listener, and its limits.
struct ListenOptions {
  MessageLimits limits;
  /// As ConnectOptions::payload_checksum, of replies.
  std::optional<bool> payload_checksum = {};
  /// What a connection must show before anything else of it is read; empty: nothing. Compared in constant time.
  std::string token = {};
  std::size_t max_connections = 1024;
  /// Requests being handled per connection; the transport stops reading from one that has more.
  std::size_t max_calls_in_flight = 1024;
  /// Reply bytes waiting for a peer that does not read; beyond it the connection is closed.
  std::size_t max_queued_bytes = std::size_t{1} << 30;
  /// Bytes of requests that are on their way in or not yet done with, of all connections together; a request beyond
  /// is answered with `overloaded`.
  std::size_t max_received_bytes = std::size_t{4} << 30;
  /// How long a peer may take from the first byte of a message to its last.
  std::chrono::nanoseconds message_timeout = std::chrono::seconds(30);
  /// How long a new connection may take until it has proved itself: handshake of TLS, token.
  std::chrono::nanoseconds handshake_timeout = std::chrono::seconds(10);
  /// New connections, of all peers together, in a second; more are turned away with `overloaded`.
  double max_connects_per_s = 1000;
  /// Requests of one connection in a second; more are answered with `overloaded`.
  double max_requests_per_s = 100'000;
  /// Wrong tokens from one address in a second. An address that is over it is turned away with `overloaded`.
  double max_wrong_tokens_per_s = 1;
  /// As ConnectOptions::dead_peer_timeout.
  std::chrono::nanoseconds dead_peer_timeout = std::chrono::seconds(10);
  /// Allows addresses that other machines can reach, where neither a token nor TLS protects them.
  bool allow_remote = false;
  /// Gets a `warning` for who is turned away, over a limit of these or for want of a token or a handshake, and for
  /// requests that come too often: with `peer` and `code`, at most one a second, which says in `left_out` how many
  /// there were besides since the last. Within one process (`inproc:`) only who connects is told.
  LogSink log = {};
};

/// What a handler knows about one request.
struct CallContext {
  Deadline deadline;
  /// Asked to stop when the caller cancelled or went away.
  std::stop_token stop;
  std::string peer;  ///< Who asks, a connection or the process behind it: for logs and for turns between clients.
  /// Connection::allocate of the answering side, for tensors of the reply. From any thread, also after the answer.
  std::function<Storage(std::size_t bytes)> allocate = Storage::allocate;
};

/// Sends the answer; call it exactly once, from any thread, now or later. Dropping it without a call
/// answers `internal`. An answer after the listener closed is discarded.
using Responder = std::function<void(Message)>;
/// Runs on a thread of the transport: hand long work to threads of your own.
using Handler = std::function<void(Message request, CallContext context, Responder respond)>;

/// One peer; many calls may be in flight and answers may come in any order. Thread-safe. The destructor
/// closes.
class Connection {
 public:
  virtual ~Connection() = default;
  /// Never blocks on the peer. The completion gets the reply (kind `reply` or `error`), or: overloaded
  /// (queue full), too_large (before anything is sent), deadline_exceeded, cancelled (`stop`),
  /// unavailable (peer or connection gone), unauthenticated (token or certificate refused), corrupt, incompatible.
  virtual void call(Message request, Deadline deadline, std::stop_token stop, Completion done) = 0;
  /// Memory for tensors of requests, uninitialised, on a 64-byte boundary: what lies in it is sent with the fewest
  /// copies that this road allows (shared memory: none). May be used for any purpose and outlive the connection. On
  /// such a road the peer reads the bytes where they lie: leave them alone until `owner().use_count()` is 1 again.
  /// Throws std::bad_alloc.
  [[nodiscard]] virtual Storage allocate(std::size_t bytes) { return Storage::allocate(bytes); }
  /// Ends all calls in flight with `unavailable`. Later calls end with `unavailable` too. Idempotent.
  virtual void close() = 0;
};

/// Accepts until closed. Thread-safe. The destructor closes.
class Listener {
 public:
  virtual ~Listener() = default;
  /// The endpoint that reaches this listener, with the port that was chosen.
  [[nodiscard]] virtual std::string address() const = 0;
  /// Takes nothing more where it takes by itself (from a queue, say); calls under way go on, and callers are not turned
  /// away. Idempotent.
  virtual void drain() {}
  /// Stops accepting, closes connections, and returns when no handler is running any more.
  virtual void close() = 0;
};

/// A kind of road. Stateless from outside; thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Throws invalid_argument (bad endpoint), unavailable (nobody there, naming the endpoint),
  /// deadline_exceeded, overloaded (no room) and unauthenticated; a transport that learns the last two later ends the
  /// first call so.
  [[nodiscard]] virtual std::unique_ptr<Connection> connect(const std::string& endpoint,
                                                            const ConnectOptions& options) = 0;
  /// Throws invalid_argument (bad endpoint, or an address beyond this machine without token, TLS or
  /// `allow_remote`), unavailable (address in use).
  [[nodiscard]] virtual std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                                         const ListenOptions& options) = 0;
};

/// Waits for one call: the reply, or throws its error (also one that the peer sent).
Message call_and_wait(Connection& connection, Message request, Deadline deadline = {}, std::stop_token stop = {});

}  // namespace splitnet
