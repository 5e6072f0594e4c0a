// SPDX-License-Identifier: Apache-2.0
// Names, the last of which are known: of requests that are being worked on or were answered, of queues. Private.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <unordered_set>
#include <utility>

namespace splitnet::detail {

class RecentNames {
 public:
  /// `most`: of those that are kept; the oldest are forgotten.
  explicit RecentNames(std::size_t most) : most_(most) {}

  /// False: it is known already.
  bool begin(const std::string& name) { return known_.insert(name).second; }
  [[nodiscard]] bool knows(const std::string& name) const { return known_.contains(name); }
  /// It may come again.
  void forget(const std::string& name) { known_.erase(name); }
  /// Of one that is over: for a while, which counts from the first time.
  void keep(std::string name) {
    kept_.push_back(std::move(name));
    if (kept_.size() <= most_) return;
    known_.erase(kept_.front());
    kept_.pop_front();
  }

 private:
  const std::size_t most_;
  std::unordered_set<std::string> known_;
  std::deque<std::string> kept_;  // Oldest first.
};

}  // namespace splitnet::detail
