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
#include "splitnet/message.hpp"

namespace splitnet {

/// Deadlines are points on the monotonic clock: a jump of the wall clock changes nothing.
using Deadline = std::optional<std::chrono::steady_clock::time_point>;

/// An answer or the reason why there is none.
using CallResult = std::variant<Message, Error>;
/// Runs exactly once for every call, on a thread of the transport, never inside `call`. Must not throw
/// and must not block for long.
using Completion = std::function<void(CallResult)>;

struct ConnectOptions {
  /// How long establishing the connection may take.
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(5);
  MessageLimits limits;
  /// Checksum over payloads (header and metadata always carry one).
  bool payload_checksum = true;
  /// Calls that may be under way at once; one more ends with `overloaded`.
  std::size_t max_calls_in_flight = 1024;
  /// Bytes waiting to be sent; a call that would exceed it ends with `overloaded`.
  std::size_t max_queued_bytes = std::size_t{1} << 30;
};

struct ListenOptions {
  MessageLimits limits;
  bool payload_checksum = true;
  std::size_t max_connections = 1024;
  /// Requests being handled per connection; the transport stops reading from one that has more.
  std::size_t max_calls_in_flight = 1024;
  /// Reply bytes waiting for a peer that does not read; beyond it the connection is closed.
  std::size_t max_queued_bytes = std::size_t{1} << 30;
  /// How long a peer may take from the first byte of a message to its last.
  std::chrono::nanoseconds message_timeout = std::chrono::seconds(30);
  /// Allows addresses that other machines can reach.
  bool allow_remote = false;
};

/// What a handler knows about one request.
struct CallContext {
  Deadline deadline;
  /// Asked to stop when the caller cancelled or went away.
  std::stop_token stop;
  std::string peer;  ///< For logs.
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
  /// unavailable (peer or connection gone), corrupt, incompatible.
  virtual void call(Message request, Deadline deadline, std::stop_token stop, Completion done) = 0;
  /// Ends all calls in flight with `unavailable`. Later calls end with `unavailable` too. Idempotent.
  virtual void close() = 0;
};

/// Accepts until closed. Thread-safe. The destructor closes.
class Listener {
 public:
  virtual ~Listener() = default;
  /// The endpoint that reaches this listener, with the port that was chosen.
  [[nodiscard]] virtual std::string address() const = 0;
  /// Stops accepting, closes connections, and returns when no handler is running any more.
  virtual void close() = 0;
};

/// A kind of road. Stateless from outside; thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Throws invalid_argument (bad endpoint), unavailable (nobody there, naming the endpoint),
  /// deadline_exceeded, overloaded (no room; a transport that learns it later ends the first call so).
  [[nodiscard]] virtual std::unique_ptr<Connection> connect(const std::string& endpoint,
                                                            const ConnectOptions& options) = 0;
  /// Throws invalid_argument (bad endpoint, or an address beyond this machine without `allow_remote`),
  /// unavailable (address in use).
  [[nodiscard]] virtual std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                                         const ListenOptions& options) = 0;
};

/// Waits for one call: the reply, or throws its error (also one that the peer sent).
Message call_and_wait(Connection& connection, Message request, Deadline deadline = {}, std::stop_token stop = {});

}  // namespace splitnet
