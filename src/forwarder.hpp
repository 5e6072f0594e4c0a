// SPDX-License-Identifier: Apache-2.0
// Calls of a worker to workers of the next tier. Private to the worker.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "splitnet/message.hpp"
#include "splitnet/transport_registry.hpp"

namespace splitnet::detail {

/// One connection for each endpoint that is allowed, made when it is first needed, on a thread of its own: whoever
/// calls never waits for it. It is kept, and mends itself as ConnectOptions::reconnect says. Thread-safe.
class Forwarder {
 public:
  /// Keeps references to the first two.
  Forwarder(const TransportRegistry& registry, const ConnectOptions& options,
            const std::vector<std::string>& endpoints);
  ~Forwarder();
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  [[nodiscard]] bool allows(const std::string& endpoint) const { return links_.contains(endpoint); }
  /// As Connection::call, to an endpoint that is allowed, and with the errors of connecting as well. The completion may
  /// run before this returns, when the forwarder is closed or too much waits for the connection.
  void call(const std::string& endpoint, Message request, Deadline deadline, std::stop_token stop, Completion done);
  /// Ends all calls with `unavailable`, later ones too. Waits for an attempt to connect that is under way. Idempotent.
  void close() noexcept;

 private:
  class Link;
  std::map<std::string, std::unique_ptr<Link>> links_;
};

}  // namespace splitnet::detail
