// SPDX-License-Identifier: Apache-2.0
#include "work_queue.hpp"

#include <algorithm>
#include <utility>

namespace splitnet::detail {

namespace {

constexpr double shortest_retry_s = 0.01;
constexpr double longest_retry_s = 10;
/// By how much a deadline must be further away than the work in front of it: estimates stray, and the answer travels.
constexpr double caution = 1.25;

Error shutting_down() {
  return Error(ErrorCode::unavailable, "this worker is shutting down");
}

}  // namespace

Place::~Place() {
  if (queue_ != nullptr) queue_->release(bytes_);
}

std::string client_of(const std::string& peer) {
  return peer.starts_with("http") ? peer.substr(0, peer.rfind(':')) : peer;
}

std::optional<Error> WorkQueue::push(const JobPtr& job, std::vector<Dropped>& dropped) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::serving) return shutting_down();
    if (job->bytes > limits_.max_bytes) {
      return Error(ErrorCode::too_large, "a request of " + std::to_string(job->bytes) +
                                             " tensor bytes, this worker takes at most " +
                                             std::to_string(limits_.max_bytes));
    }
    auto against = reason_against(*job);
    if (against) {
      sweep(dropped);  // Places taken by requests that nobody waits for any more are free.
      against = reason_against(*job);
    }
    if (against && !(is_full_for(*job) && !comes_too_late(*job) && make_room_for(*job, dropped))) return against;
    job->queued_at = Clock::now();
    queue_.push(job->client, job);
    job->place = Place(*this, job->bytes);
    bytes_ += job->bytes;
    ++placed_;
  }
  work_or_end_.notify_all();  // Also who waits for a job of its liking.
  return std::nullopt;
}

std::optional<Error> WorkQueue::reason_against(const Job& job) const {
  if (is_full_for(job)) {
    return overloaded_now("this worker has " + std::to_string(queue_.size()) + " requests waiting and " +
                          std::to_string(bytes_) + " tensor bytes in hand, more than it takes");
  }
  if (comes_too_late(job)) {
    return overloaded_now("with " + std::to_string(queue_.size()) +
                          " requests waiting this one would not be done by its deadline");
  }
  return std::nullopt;
}

bool WorkQueue::is_full_for(const Job& job) const {
  return queue_.size() >= limits_.max_requests ||
         (bytes_ > 0 && job.bytes > limits_.max_bytes - std::min(bytes_, limits_.max_bytes));
}

/// One may always wait, whatever the estimate says: it will be run and mend the estimate.
bool WorkQueue::comes_too_late(const Job& job) const {
  const auto mean_s = job_time_.mean_s();
  const std::size_t ahead = queue_.ahead_of_next(job.client);
  if (!job.context.deadline || !mean_s || ahead == 0) return false;
  const std::chrono::duration<double> left = *job.context.deadline - Clock::now();
  const double jobs = static_cast<double>(ahead) + static_cast<double>(running_) / 2;  // Half done, on average.
  const double wait_s = jobs * *mean_s / static_cast<double>(limits_.threads);
  return (wait_s + job.expected_s) * caution > left.count();
}

/// Clients with long backlogs give way to one whose backlog stays shorter than theirs even with this job.
bool WorkQueue::make_room_for(const Job& job, std::vector<Dropped>& dropped) {
  const Error error = overloaded_now(
      "this worker is full, and this client has the most requests waiting: one gave way to another client's");
  const std::size_t least = queue_.backlog(job.client) + 2;
  const std::size_t before = dropped.size();
  dropped.reserve(before + queue_.size());
  std::size_t freed_bytes = 0;
  const auto fits = [&] {
    return queue_.size() < limits_.max_requests && bytes_ - freed_bytes + job.bytes <= limits_.max_bytes;
  };
  while (!fits()) {
    auto newest = queue_.pop_newest_of_longest(least);
    if (!newest) break;
    freed_bytes += (*newest)->bytes;
    dropped.push_back({std::move(*newest), error});
  }
  if (!fits()) {
    for (; dropped.size() > before; dropped.pop_back()) {
      queue_.push(dropped.back().job->client, dropped.back().job);
    }
    return false;
  }
  for (std::size_t i = before; i < dropped.size(); ++i) free_bytes_of(*dropped[i].job);
  return true;
}

void WorkQueue::sweep(std::vector<Dropped>& dropped) {
  const Error cancelled = expiry_error(ErrorCode::cancelled);
  const Error late = expiry_error(ErrorCode::deadline_exceeded);
  dropped.reserve(dropped.size() + queue_.size());
  std::vector<JobPtr> swept;
  queue_.take_if([](const JobPtr& job) { return expired(job->context).has_value(); }, swept);
  for (JobPtr& job : swept) {
    free_bytes_of(*job);
    const bool is_cancelled = job->context.stop.stop_requested();
    dropped.push_back({std::move(job), is_cancelled ? cancelled : late});
  }
}

/// Before it is answered, and gives back its place: the room is needed now.
void WorkQueue::free_bytes_of(Job& job) noexcept {
  bytes_ -= job.bytes;
  job.place.give_up_bytes();
}

JobPtr WorkQueue::pop() {
  std::unique_lock lock(mutex_);
  work_or_end_.wait(lock, [this] { return !queue_.empty() || state_ == State::closed; });
  if (queue_.empty()) return nullptr;
  ++running_;
  return queue_.pop();
}

void WorkQueue::leave() {
  const std::lock_guard lock(mutex_);
  --running_;
}

JobPtr WorkQueue::pop_if(const std::function<bool(const Job&)>& is_wanted, Clock::time_point until) {
  std::unique_lock lock(mutex_);
  std::optional<JobPtr> found;
  work_or_end_.wait_until(lock, until, [&] {
    found = queue_.pop_if([&](const JobPtr& job) { return is_wanted(*job); });
    return found || !queue_.empty() || state_ != State::serving;
  });
  return found ? std::move(*found) : nullptr;
}

void WorkQueue::note_time(double seconds) {
  const std::lock_guard lock(mutex_);
  job_time_.note(seconds);
}

Error WorkQueue::overloaded(const std::string& text) const {
  const std::lock_guard lock(mutex_);
  return overloaded_now(text);
}

Error WorkQueue::overloaded_now(const std::string& text) const {
  std::optional<double> retry_after_s = job_time_.mean_s();
  if (retry_after_s) {
    const auto jobs = static_cast<double>(queue_.size() + running_);
    retry_after_s =
        std::clamp(jobs * *retry_after_s / static_cast<double>(limits_.threads), shortest_retry_s, longest_retry_s);
  }
  return Error(ErrorCode::overloaded, text, retry_after_s);
}

WorkQueue::Counts WorkQueue::counts() const {
  const std::lock_guard lock(mutex_);
  return {queue_.size(), running_, bytes_, placed_};
}

void WorkQueue::release(std::size_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  bytes_ -= bytes;
  if (--placed_ == 0) idle_.notify_all();
}

bool WorkQueue::drain(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  if (state_ == State::serving) {
    state_ = State::draining;
    work_or_end_.notify_all();
  }
  return idle_.wait_for(lock, timeout, [this] { return placed_ == 0; });
}

std::vector<JobPtr> WorkQueue::close() {
  std::vector<JobPtr> left;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::closed;
    queue_.take_if([](const JobPtr&) { return true; }, left);
  }
  work_or_end_.notify_all();
  return left;
}

bool WorkQueue::is_serving() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::serving;
}

bool WorkQueue::is_closed() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::closed;
}

}  // namespace splitnet::detail
