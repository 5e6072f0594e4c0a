// SPDX-License-Identifier: Apache-2.0
// Who may connect to a listener, and how often. Private.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// So many a second, and as many at once after a second's rest (one at least). Not thread-safe.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;
  explicit RateLimit(double per_s) : per_s_(per_s), left_(most()) {}

  /// False when there is none left.
  bool take(Clock::time_point now = Clock::now());
  [[nodiscard]] bool is_empty(Clock::time_point now = Clock::now()) const { return left_at(now) < 1; }
  /// As if nothing had ever been taken.
  [[nodiscard]] bool is_full(Clock::time_point now = Clock::now()) const { return left_at(now) >= most(); }

 private:
  [[nodiscard]] double most() const { return per_s_ < 1 ? 1 : per_s_; }
  [[nodiscard]] double left_at(Clock::time_point now) const;

  double per_s_;
  double left_;
  Clock::time_point at_ = Clock::now();
};

/// Thread-safe.
class Admission {
 public:
  explicit Admission(const ListenOptions& options)
      : token_(options.token),
        max_wrong_tokens_per_s_(options.max_wrong_tokens_per_s),
        connects_(options.max_connects_per_s) {}

  /// Why a new connection is turned away, if it is. `host`: the peer's address without port.
  std::optional<Error> refuse_connection(const std::string& host);
  [[nodiscard]] bool needs_token() const noexcept { return !token_.empty(); }
  /// Why a token is refused, if it is.
  std::optional<Error> refuse_token(const std::string& host, const std::string& token);

 private:
  const std::string token_;
  const double max_wrong_tokens_per_s_;
  std::mutex mutex_;
  RateLimit connects_;
  std::map<std::string, RateLimit> wrong_tokens_;  // By host; full ones are dropped.
};

}  // namespace splitnet::detail
