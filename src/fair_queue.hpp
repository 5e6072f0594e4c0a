// SPDX-License-Identifier: Apache-2.0
// A queue in which no client waits for another one's backlog. Private.
#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <string>
#include <utility>

namespace splitnet::detail {

/// Clients take turns, one job each; the jobs of one client stay in order. Not thread-safe.
template <class Job>
class FairQueue {
 public:
  void push(const std::string& client, Job job) {
    auto& jobs = clients_[client];
    if (jobs.empty()) turns_.push_back(client);
    jobs.push_back(std::move(job));
    ++size_;
  }
  /// Of a queue that is not empty.
  Job pop() {
    const auto client = clients_.find(turns_.front());
    Job job = std::move(client->second.front());
    client->second.pop_front();
    --size_;
    // It comes last now, or goes.
    if (client->second.empty()) {
      clients_.erase(client);
      turns_.pop_front();
    } else {
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return job;
  }
  /// Moves the jobs for which `is_unwanted` says so into `taken`.
  template <class Predicate>
  void take_if(Predicate&& is_unwanted, std::deque<Job>& taken) {
    for (auto turn = turns_.begin(); turn != turns_.end();) {
      const auto client = clients_.find(*turn);
      auto& jobs = client->second;
      for (auto job = jobs.begin(); job != jobs.end();) {
        if (!is_unwanted(*job)) {
          ++job;
          continue;
        }
        taken.push_back(std::move(*job));
        job = jobs.erase(job);
        --size_;
      }
      if (jobs.empty()) {
        clients_.erase(client);
        turn = turns_.erase(turn);
      } else {
        ++turn;
      }
    }
  }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::map<std::string, std::deque<Job>> clients_;  // None is empty.
  std::list<std::string> turns_;                    // Of all that are in `clients_`.
  std::size_t size_ = 0;
};

}  // namespace splitnet::detail
