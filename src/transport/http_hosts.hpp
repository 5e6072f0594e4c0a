// SPDX-License-Identifier: Apache-2.0
// What the sockets of one address may do together. Private.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "admission.hpp"

namespace splitnet::detail {

/// A socket of HTTP carries one request at a time, and who is held up takes another socket: limits of a connection hold
/// for all sockets of an address together. Thread-safe.
class HttpHost {
 public:
  /// Takes a place, or says that it has no use for it any more (false). Any thread.
  using Offer = std::function<bool()>;

  explicit HttpHost(const ListenOptions& options)
      : max_calls_(options.max_calls_in_flight), requests_(options.max_requests_per_s) {}

  /// False: too many requests a second.
  bool take_request() {
    const std::lock_guard lock(mutex_);
    return requests_.take();
  }
  /// True: a request may be read. False: `offer` is asked later, in the order in which they came, if `who` is still
  /// there.
  bool enter(std::weak_ptr<void> who, Offer offer);
  /// For every place that was taken.
  void leave();
  /// A new one would be no different.
  [[nodiscard]] bool is_rested() {
    const std::lock_guard lock(mutex_);
    return requests_.is_full();
  }

 private:
  const std::size_t max_calls_;
  std::mutex mutex_;
  RateLimit requests_;
  std::size_t calls_ = 0;
  struct Waiting {
    std::weak_ptr<void> who;
    Offer offer;
  };
  std::deque<Waiting> waiting_;
};

/// Thread-safe.
class HttpHosts {
 public:
  explicit HttpHosts(const ListenOptions& options) : options_(options) {}
  std::shared_ptr<HttpHost> find(const std::string& host);

 private:
  const ListenOptions options_;
  std::mutex mutex_;
  // By address, as long as somebody is connected from there or has asked much a moment ago.
  std::map<std::string, std::shared_ptr<HttpHost>> hosts_;
};

}  // namespace splitnet::detail
