// SPDX-License-Identifier: Apache-2.0
// A queue in which no client waits for another one's backlog. Private.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace splitnet::detail {

/// Clients take turns, one job each; the jobs of one client stay in order. Not thread-safe.
template <class Job>
class FairQueue {
 public:
  FairQueue() = default;
  FairQueue(FairQueue&&) noexcept = default;
  FairQueue& operator=(FairQueue&&) noexcept = default;

  /// Whoever had nothing waiting comes behind all who have. When it throws (no memory), nothing has changed.
  void push(const std::string& client, Job job) {
    const auto found = by_name_.find(client);
    if (found != by_name_.end()) {
      found->second->jobs.push_back(std::move(job));
    } else {
      std::list<Client> newcomer;
      newcomer.push_back({client, {}});
      newcomer.front().jobs.push_back(std::move(job));
      by_name_.emplace(client, newcomer.begin());
      turns_.splice(turns_.end(), newcomer);
    }
    ++size_;
  }

  /// Of a queue that is not empty.
  Job pop() { return take(turns_.begin(), turns_.front().jobs.begin()); }

  /// The first one, in order of turns, for which `is_wanted` says so; its client's next turn comes last.
  template <class Predicate>
  std::optional<Job> pop_if(Predicate&& is_wanted) {
    for (auto client = turns_.begin(); client != turns_.end(); ++client) {
      const auto job = std::find_if(client->jobs.begin(), client->jobs.end(), is_wanted);
      if (job != client->jobs.end()) return take(client, job);
    }
    return std::nullopt;
  }

  /// The newest job of the client with the longest backlog, when that has at least `least` jobs. Turns stay.
  std::optional<Job> pop_newest_of_longest(std::size_t least) {
    const auto longest = std::max_element(
        turns_.begin(), turns_.end(), [](const Client& a, const Client& b) { return a.jobs.size() < b.jobs.size(); });
    if (longest == turns_.end() || longest->jobs.size() < least) return std::nullopt;
    Job job = std::move(longest->jobs.back());
    longest->jobs.pop_back();
    --size_;
    erase_if_empty(longest);
    return job;
  }

  /// Moves the jobs for which `is_unwanted` says so to the end of `taken`. When it throws (no memory), nothing has
  /// changed.
  template <class Predicate>
  void take_if(Predicate&& is_unwanted, std::vector<Job>& taken) {
    taken.reserve(taken.size() + size_);
    for (auto client = turns_.begin(); client != turns_.end();) {
      auto& jobs = client->jobs;
      for (auto job = jobs.begin(); job != jobs.end();) {
        if (!is_unwanted(*job)) {
          ++job;
          continue;
        }
        taken.push_back(std::move(*job));
        job = jobs.erase(job);
        --size_;
      }
      erase_if_empty(client++);
    }
  }

  [[nodiscard]] std::size_t backlog(const std::string& client) const {
    const auto found = by_name_.find(client);
    return found == by_name_.end() ? 0 : found->second->jobs.size();
  }
  /// How many jobs that wait now have their turn before one that `client` pushes next.
  [[nodiscard]] std::size_t ahead_of_next(const std::string& client) const {
    const std::size_t own = backlog(client);
    std::size_t ahead = 0;
    for (const Client& other : turns_) {
      ahead += other.name == client ? own : std::min(other.jobs.size(), own + 1);
    }
    return ahead;
  }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Client {
    std::string name;
    std::deque<Job> jobs;  // Never empty.
  };
  using Turn = typename std::list<Client>::iterator;

  Job take(Turn client, typename std::deque<Job>::iterator position) {
    Job job = std::move(*position);
    client->jobs.erase(position);
    --size_;
    turns_.splice(turns_.end(), turns_, client);
    erase_if_empty(client);
    return job;
  }
  void erase_if_empty(Turn client) {
    if (!client->jobs.empty()) return;
    by_name_.erase(client->name);
    turns_.erase(client);
  }

  std::list<Client> turns_;  // Whose turn is next comes first.
  std::map<std::string, Turn> by_name_;
  std::size_t size_ = 0;
};

}  // namespace splitnet::detail
