// SPDX-License-Identifier: Apache-2.0
#include "admission.hpp"

#include <algorithm>

#include "splitnet/access.hpp"

namespace splitnet::detail {
namespace {

/// Hosts whose wrong tokens are counted; more than these don't fit into memory that strangers may take.
constexpr std::size_t max_hosts = 1024;

}  // namespace

double RateLimit::left_at(Clock::time_point now) const {
  return std::min(most(), left_ + per_s_ * std::chrono::duration<double>(now - at_).count());
}

bool RateLimit::take(Clock::time_point now) {
  left_ = left_at(now);
  at_ = now;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

std::optional<Error> Admission::refuse_connection(const std::string& host) {
  const std::lock_guard lock(mutex_);
  const auto known = wrong_tokens_.find(host);
  if (known != wrong_tokens_.end() && known->second.is_empty()) {
    return Error(ErrorCode::overloaded, "listener: too many wrong tokens from " + host + "; try again later");
  }
  if (connects_.take()) return std::nullopt;
  return Error(ErrorCode::overloaded, "listener: too many new connections; try again later");
}

std::optional<Error> Admission::refuse_token(const std::string& host, const std::string& token) {
  if (is_same_token(token_, token)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  std::erase_if(wrong_tokens_, [](const auto& entry) { return entry.second.is_full(); });
  if (wrong_tokens_.size() < max_hosts || wrong_tokens_.contains(host)) {
    wrong_tokens_.try_emplace(host, max_wrong_tokens_per_s_).first->second.take();
  }
  return Error(ErrorCode::unauthenticated, "listener: the token is not the right one");
}

}  // namespace splitnet::detail
