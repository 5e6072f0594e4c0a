// SPDX-License-Identifier: Apache-2.0
// Whether a worker that has failed is asked again. Private.
#pragma once

#include <algorithm>
#include <chrono>
#include <mutex>
#include <optional>

#include "transport/back_off.hpp"

namespace splitnet::detail {

/// Closed: every request may go. After a failure it is open, and none may; after a pause one may try, and its success
/// closes it, its failure makes the next pause longer (Nygard, *Release It!*, 2007). Thread-safe.
class CircuitBreaker {
 public:
  using Clock = std::chrono::steady_clock;
  /// Of `pauses`, what BackOff makes of them.
  explicit CircuitBreaker(const Reconnect& pauses) : back_off_(pauses) {}

  /// True: this request may go, and `succeeded`, `failed` or `gave_up` must follow.
  bool allows(Clock::time_point now = Clock::now()) {
    const std::lock_guard lock(mutex_);
    if (!open_until_) return true;
    if (is_trying_ || now < *open_until_) return false;
    return is_trying_ = true;
  }
  /// As `allows` would say, without taking the turn.
  [[nodiscard]] bool would_allow(Clock::time_point now = Clock::now()) const {
    const std::lock_guard lock(mutex_);
    return !open_until_ || (!is_trying_ && now >= *open_until_);
  }
  /// When the next one may try, at the earliest.
  [[nodiscard]] Clock::time_point next_try() const {
    const std::lock_guard lock(mutex_);
    return open_until_.value_or(Clock::time_point::min());
  }
  void succeeded() {
    const std::lock_guard lock(mutex_);
    open_until_.reset();
    is_trying_ = false;
    back_off_.reset();
  }
  /// `at_least`: the pause that the worker asked for.
  void failed(Clock::time_point now = Clock::now(), Clock::duration at_least = {}) {
    const std::lock_guard lock(mutex_);
    // Requests that were under way when the first one failed say nothing new.
    if (open_until_ && !is_trying_) return;
    open_until_ = now + std::max(back_off_.next(), at_least);
    is_trying_ = false;
  }
  /// The request was cancelled: nothing is known.
  void gave_up() {
    const std::lock_guard lock(mutex_);
    is_trying_ = false;
  }

 private:
  mutable std::mutex mutex_;
  BackOff back_off_;
  std::optional<Clock::time_point> open_until_;
  bool is_trying_ = false;
};

}  // namespace splitnet::detail
