// SPDX-License-Identifier: Apache-2.0
// A worker as a session sees it. Private.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "circuit_breaker.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// Thread-safe.
class RemoteWorker {
 public:
  RemoteWorker(std::string endpoint, std::shared_ptr<Connection> connection, const Reconnect& pauses)
      : endpoint_(std::move(endpoint)), connection_(std::move(connection)), breaker_(pauses) {}

  [[nodiscard]] const std::string& endpoint() const noexcept { return endpoint_; }
  /// Throws cancelled: it is closed.
  [[nodiscard]] std::shared_ptr<Connection> connection() const {
    const std::lock_guard lock(mutex_);
    if (connection_) return connection_;
    throw Error(ErrorCode::cancelled, "the session is closed");
  }
  CircuitBreaker& breaker() noexcept { return breaker_; }
  /// What it failed with last, for messages of those who are not sent to it meanwhile.
  [[nodiscard]] std::string last_failure() const {
    const std::lock_guard lock(mutex_);
    return last_failure_;
  }
  void note_failure(const Error& error, CircuitBreaker::Clock::duration pause_at_least) {
    {
      const std::lock_guard lock(mutex_);
      last_failure_ = error.what();
    }
    breaker_.failed(CircuitBreaker::Clock::now(), pause_at_least);
  }
  /// The connection ends here and not with the last completion, which runs on a thread of the connection.
  void close() {
    std::shared_ptr<Connection> connection;
    {
      const std::lock_guard lock(mutex_);
      connection = std::exchange(connection_, nullptr);
    }
    if (connection) connection->close();
  }

  void note_reply() {
    silences_ = 0;
    breaker_.succeeded();
  }
  /// It did not answer in time, for whatever reason; several in a row count as a failure.
  void note_silence() {
    if (++silences_ >= most_silences) {
      breaker_.failed();
    } else {
      breaker_.gave_up();
    }
  }

 private:
  static constexpr int most_silences = 3;
  const std::string endpoint_;
  mutable std::mutex mutex_;
  std::shared_ptr<Connection> connection_;
  std::string last_failure_ = "it was silent";
  CircuitBreaker breaker_;
  std::atomic<int> silences_ = 0;
};

/// Those that may be asked for one stage, in this order.
using RemoteWorkers = std::vector<std::shared_ptr<RemoteWorker>>;

/// The same error, naming the worker it has to do with.
inline Error at_worker(const std::string& endpoint, const Error& error) {
  const std::string_view what = error.what();
  if (what.find(endpoint) != std::string_view::npos) return error;
  return Error(error.code(), "worker " + endpoint + ": " + std::string(what), error.retry_after_s());
}

}  // namespace splitnet::detail
