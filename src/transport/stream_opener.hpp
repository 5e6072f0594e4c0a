// SPDX-License-Identifier: Apache-2.0
// Opens sockets. Private to the stream transports.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "asio.hpp"
#include "byte_stream.hpp"

namespace splitnet::detail {

/// One road of stream sockets: where it leads, and what is done with a socket that has been opened.
struct StreamRoad {
  std::string endpoint;  ///< As the user wrote it, for messages.
  /// Throws unavailable. May block: only the thread of the connection waits.
  std::function<std::vector<StreamEndpoint>()> resolve;
  std::function<std::unique_ptr<ByteStream>(StreamSocket)> wrap;
};

/// All on one context's thread.
class StreamOpener : public std::enable_shared_from_this<StreamOpener> {
 public:
  /// A stream whose handshake is done, or unavailable, deadline_exceeded, unauthenticated, incompatible.
  using Outcome = std::variant<std::unique_ptr<ByteStream>, Error>;
  using Done = std::function<void(Outcome)>;

  StreamOpener(std::shared_ptr<asio::io_context> context, StreamRoad road)
      : context_(std::move(context)), road_(std::move(road)), timer_(*context_) {}

  /// Tries one address after the other. One at a time.
  void open(std::chrono::steady_clock::time_point until, Done done);
  /// What is under way ends now, with an error.
  void cancel() { end(Error(ErrorCode::unavailable, name() + ": closed")); }

 private:
  [[nodiscard]] std::string name() const { return "connect to '" + road_.endpoint + "'"; }
  void try_next();
  void on_failure(const Error& error);
  void on_connect();
  void end(const Error& error);
  void finish(Outcome outcome);

  const std::shared_ptr<asio::io_context> context_;
  const StreamRoad road_;
  asio::steady_timer timer_;
  Done done_;  // While an attempt is under way.
  std::vector<StreamEndpoint> addresses_;
  std::size_t next_ = 0;
  std::optional<Error> failure_;
  std::optional<StreamSocket> socket_;
  std::unique_ptr<ByteStream> stream_;
};

}  // namespace splitnet::detail
