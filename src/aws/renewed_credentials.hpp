// SPDX-License-Identifier: Apache-2.0
// Credentials that expire, kept and renewed ahead of that.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "splitnet/aws/credentials.hpp"

namespace splitnet::detail {

/// Thread-safe.
class RenewedCredentials {
 public:
  using TimePoint = decltype(AwsCredentials::expires_at)::value_type;

  /// `fetch` may be called from several threads at once.
  RenewedCredentials(std::function<AwsCredentials()> fetch, std::function<TimePoint()> now)
      : fetch_(std::move(fetch)), now_(std::move(now)) {}

  /// Throws what `fetch` throws, but not as long as those of before are good: whoever gives them may be back in time.
  AwsCredentials get() {
    std::unique_lock lock(mutex_);
    const auto now = now_();
    const bool are_good = found_ && (!found_->expires_at || now < *found_->expires_at);
    if (are_good && !is_due(now)) return *found_;
    next_look_ = now + between_looks;
    if (!are_good) return *(found_ = fetch_());
    lock.unlock();  // Others go on with those that are there.
    std::optional<AwsCredentials> fetched;
    try {
      fetched = fetch_();
    } catch (const std::exception&) {
    }
    lock.lock();
    if (fetched) found_ = std::move(fetched);
    return *found_;
  }

 private:
  /// A request takes a while, and clocks differ.
  static constexpr auto renew_before = std::chrono::minutes(5);
  /// While they are good: an endpoint that does not answer would hold up every request, as would one whose credentials
  /// never last for longer.
  static constexpr auto between_looks = std::chrono::seconds(30);

  [[nodiscard]] bool is_due(TimePoint now) const {
    return found_->expires_at && *found_->expires_at - renew_before <= now && next_look_ <= now;
  }

  const std::function<AwsCredentials()> fetch_;
  const std::function<TimePoint()> now_;
  std::mutex mutex_;
  std::optional<AwsCredentials> found_;  // Under the lock, as what follows.
  TimePoint next_look_;
};

}  // namespace splitnet::detail
