// SPDX-License-Identifier: Apache-2.0
#include "http_hosts.hpp"

#include <utility>

namespace splitnet::detail {

bool HttpHost::enter(std::weak_ptr<void> who, Offer offer) {
  const std::lock_guard lock(mutex_);
  if (calls_ >= max_calls_) {
    std::erase_if(waiting_, [](const Waiting& waiting) { return waiting.who.expired(); });
    waiting_.push_back({std::move(who), std::move(offer)});
    return false;
  }
  ++calls_;
  return true;
}

void HttpHost::leave() {
  for (;;) {
    Offer offer;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        --calls_;
        return;
      }
      offer = std::move(waiting_.front().offer);
      waiting_.pop_front();
    }
    if (offer()) return;  // The place has changed hands.
  }
}

std::shared_ptr<HttpHost> HttpHosts::find(const std::string& host) {
  const std::lock_guard lock(mutex_);
  auto& known = hosts_[host];
  if (!known) known = std::make_shared<HttpHost>(options_);
  auto found = known;
  // Nobody else hands out handles, so one that is the last stays the last.
  std::erase_if(hosts_, [](const auto& entry) { return entry.second.use_count() == 1 && entry.second->is_rested(); });
  return found;
}

}  // namespace splitnet::detail
