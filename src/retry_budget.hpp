// SPDX-License-Identifier: Apache-2.0
// How many requests may be sent a second time. Private.
#pragma once

#include <algorithm>
#include <mutex>

namespace splitnet::detail {

/// Every request earns a share of a second attempt, and attempts take one: however bad it gets, the traffic grows by no
/// more than that share (Dean and Barroso, "The tail at scale", CACM 2013). Thread-safe.
class RetryBudget {
 public:
  /// `most` attempts can be saved up, and are there in the beginning.
  explicit RetryBudget(double share = 0.1, double most = 10) : share_(share), most_(most), left_(most) {}

  void note_request() {
    const std::lock_guard lock(mutex_);
    left_ = std::min(most_, left_ + share_);
  }
  /// False: not now.
  bool take() {
    const std::lock_guard lock(mutex_);
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
  }

 private:
  const double share_;
  const double most_;
  std::mutex mutex_;
  double left_;
};

}  // namespace splitnet::detail
