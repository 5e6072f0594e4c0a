// SPDX-License-Identifier: Apache-2.0
/// \file
/// Tells orchestrators and Prometheus over HTTP how a process is. In builds with SPLITNET_WITH_HTTP only.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace splitnet {

/// What the pages are made of. Called on the server's thread, one at a time; should be quick. What they throw is
/// answered with 500.
struct StatusPages {
  /// Why the process is not ready; nothing: it is. Worker::readiness, for instance. Empty: always ready.
  std::function<std::optional<std::string>()> ready = {};
  /// The text for Prometheus: to_prometheus (metrics.hpp). Empty: there is no such page.
  std::function<std::string()> metrics = {};
};

struct StatusOptions {
  /// Open at once, each for one request; more are answered with 503, or dropped when there are very many of them.
  std::size_t max_connections = 16;
  /// From the first sign of a client to the last byte of its answer.
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);
  /// Allows addresses that other machines can reach. There is no token here and no encryption: whoever reaches the port
  /// can read the pages, which have names of models, counts and times, and nothing of what is computed.
  bool allow_remote = false;
};

/// A small HTTP/1.1 server for GET and HEAD of
/// - `/livez`: 200 as long as the process runs;
/// - `/readyz`: 200, or 503 and the reason;
/// - `/metrics`: 200, or 404 without StatusPages::metrics.
/// Other paths are answered with 404, other methods with 405, heads of more than 8 KiB with 431. Every connection is
/// closed after its answer. Has a thread of its own. Thread-safe. The destructor closes.
class StatusServer {
 public:
  /// `endpoint` is `127.0.0.1:9090`, `[::1]:9090` or the same after `http://`; port 0 chooses a free one. Throws
  /// invalid_argument (a bad endpoint, or one that other machines can reach without StatusOptions::allow_remote),
  /// unavailable (address in use, unknown host).
  [[nodiscard]] static std::unique_ptr<StatusServer> start(const std::string& endpoint, StatusPages pages,
                                                           const StatusOptions& options = {});
  ~StatusServer();
  StatusServer(const StatusServer&) = delete;
  StatusServer& operator=(const StatusServer&) = delete;

  /// What reaches it, with the port that was chosen: `http://127.0.0.1:9090`.
  [[nodiscard]] std::string address() const;
  /// Returns when no page is being made any more. Idempotent.
  void close();

 private:
  class Impl;
  explicit StatusServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace splitnet
