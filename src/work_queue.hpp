// SPDX-License-Identifier: Apache-2.0
// The requests of a worker that wait for a thread, and its budget. Private to the worker.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fair_queue.hpp"
#include "time_estimate.hpp"
#include "worker_job.hpp"

namespace splitnet::detail {

/// Whom the requests of this peer (CallContext::peer) are counted as. For most roads that is one connection or one
/// process; a caller over HTTP has a socket for every request under way, so there it is the address without the port.
std::string client_of(const std::string& peer);

/// Thread-safe. Outlives every job it has taken in.
class WorkQueue {
 public:
  using Clock = std::chrono::steady_clock;
  struct Limits {
    std::size_t max_requests = 0;  ///< That wait.
    std::size_t max_bytes = 0;     ///< Of all jobs that have a place.
    std::size_t threads = 1;       ///< That take jobs.
  };
  /// A job that has lost its place, and what to answer.
  struct Dropped {
    JobPtr job;
    Error error;
  };
  struct Counts {
    std::size_t queued = 0;
    std::size_t running = 0;  ///< Taken by `pop` and not yet left.
    std::size_t bytes = 0;    ///< Of all that have a place.
    std::size_t placed = 0;   ///< Queued, running, or waiting for somebody else's answer.
  };

  explicit WorkQueue(Limits limits) : limits_(limits) {}
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  /// Takes the job in, or says why not: unavailable (draining or closed), too_large (more than the whole budget),
  /// overloaded (full, or its deadline would pass while it waits). Jobs that had to go for it, and those that nobody
  /// waits for any more, end up in `dropped`: answer them.
  std::optional<Error> push(const JobPtr& job, std::vector<Dropped>& dropped);
  /// Waits for a job; nothing when closed. `leave` must follow when the thread is done with it.
  JobPtr pop();
  void leave();
  /// One more job out of turn, for a thread that has one already. Waits for it until `until`, as long as there is
  /// nothing else to do.
  JobPtr pop_if(const std::function<bool(const Job&)>& is_wanted, Clock::time_point until);

  /// A thread was busy for so long with one request.
  void note_time(double seconds);
  /// `overloaded`, with the time until what is there now will be done; without it before the first note_time.
  [[nodiscard]] Error overloaded(const std::string& text) const;
  [[nodiscard]] Counts counts() const;

  /// Takes in nothing any more; waits until every place is free, at most so long.
  bool drain(std::chrono::nanoseconds timeout);
  /// Takes in and gives out nothing any more, and returns what waited.
  std::vector<JobPtr> close();
  [[nodiscard]] bool is_serving() const;
  [[nodiscard]] bool is_closed() const;

 private:
  friend class Place;
  enum class State { serving, draining, closed };

  void release(std::size_t bytes) noexcept;
  // All under the lock, under which no job may end: its place would want the lock too.
  [[nodiscard]] std::optional<Error> reason_against(const Job& job) const;
  [[nodiscard]] bool is_full_for(const Job& job) const;
  [[nodiscard]] bool comes_too_late(const Job& job) const;
  bool make_room_for(const Job& job, std::vector<Dropped>& dropped);
  void sweep(std::vector<Dropped>& dropped);
  void free_bytes_of(Job& job) noexcept;
  [[nodiscard]] Error overloaded_now(const std::string& text) const;

  const Limits limits_;
  mutable std::mutex mutex_;  // Guards everything below.
  std::condition_variable work_or_end_;
  std::condition_variable idle_;
  State state_ = State::serving;
  FairQueue<JobPtr> queue_;
  std::size_t running_ = 0;
  std::size_t placed_ = 0;
  std::size_t bytes_ = 0;  // Of all that have a place.
  TimeEstimate job_time_;
};

}  // namespace splitnet::detail
