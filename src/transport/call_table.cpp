// SPDX-License-Identifier: Apache-2.0
#include "call_table.hpp"

#include <vector>

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

const Error& deadline_error() {
  static const Error error(ErrorCode::deadline_exceeded, "call: no answer before its deadline");
  return error;
}
const Error& cancel_error() {
  static const Error error(ErrorCode::cancelled, "call: cancelled by its stop token");
  return error;
}

}  // namespace

CallTable::CallTable(std::shared_ptr<asio::io_context> context, std::size_t max_in_flight,
                     std::function<void(std::uint64_t)> abandoned)
    : context_(std::move(context)),
      work_(context_->get_executor()),
      max_in_flight_(max_in_flight),
      abandoned_(std::move(abandoned)),
      timer_(*context_) {}

std::optional<Error> CallTable::admit(std::uint64_t id, Deadline deadline, const std::stop_token& stop,
                                      Completion& done) {
  if (closed_) return Error(closed_->code(), closed_->what());
  if (suspended_) return Error(ErrorCode::unavailable, std::string(suspended_->what()) + "; connecting again");
  if (stop.stop_requested()) return cancel_error();
  if (deadline && *deadline <= Clock::now()) return deadline_error();
  if (calls_.size() >= max_in_flight_) {
    return Error(ErrorCode::overloaded,
                 "call: " + std::to_string(calls_.size()) + " calls are in flight already, which is the limit");
  }
  calls_.emplace(id, Call{std::move(done), deadline, nullptr});
  if (deadline) {
    deadlines_.emplace(*deadline, id);
    arm_timer();
  }
  return std::nullopt;
}

std::uint64_t CallTable::begin(Deadline deadline, const std::stop_token& stop, Completion done) {
  std::unique_lock lock(mutex_);
  const auto id = ++last_id_;
  auto refusal = admit(id, deadline, stop, done);
  lock.unlock();
  if (!refusal) return id;
  post(std::move(done), *std::move(refusal));
  return 0;
}

void CallTable::watch(std::uint64_t id, const std::stop_token& stop) {
  if (!stop.stop_possible()) return;
  // Runs at once, on this thread, when the stop was requested meanwhile.
  auto callback = std::make_unique<StopCallback>(stop, [weak = weak_from_this(), id] {
    if (auto self = weak.lock()) self->abandon(id, cancel_error());
  });
  const std::lock_guard lock(mutex_);
  if (const auto found = calls_.find(id); found != calls_.end()) found->second.stop = std::move(callback);
  // Else the call has ended; the lock is released before `callback` is destroyed (reverse order of
  // declaration), so a callback that is waiting for the lock can finish.
}

std::optional<CallTable::Call> CallTable::take(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(id);
  if (found == calls_.end()) return std::nullopt;
  std::optional<Call> call(std::move(found->second));
  calls_.erase(found);
  if (call->deadline) deadlines_.erase({*call->deadline, id});
  return call;
}

void CallTable::post(Completion done, CallResult result) {
  asio::post(*context_, [done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
}

void CallTable::finish_later(std::uint64_t id, CallResult result) {
  if (auto call = take(id)) post(std::move(call->done), std::move(result));
}

void CallTable::finish_here(std::uint64_t id, CallResult result) {
  auto call = take(id);
  if (!call) return;  // A late answer: nobody waits any more.
  call->stop.reset();
  call->done(std::move(result));
}

void CallTable::abandon(std::uint64_t id, const Error& error) {
  auto call = take(id);
  if (!call) return;
  abandoned_(id);
  post(std::move(call->done), error);
}

void CallTable::close(const Error& reason) {
  end_all(&CallTable::closed_, reason);
}

void CallTable::suspend(const Error& reason) {
  end_all(&CallTable::suspended_, reason);
}

void CallTable::resume() {
  const std::lock_guard lock(mutex_);
  suspended_.reset();
}

void CallTable::end_all(std::optional<Error> CallTable::*state, const Error& reason) {
  std::unordered_map<std::uint64_t, Call> calls;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    this->*state = reason;
    calls.swap(calls_);
    deadlines_.clear();
    timer_.cancel();
    armed_for_ = TimePoint::max();
  }
  // Each gets an error of its own: copies would share one string between threads.
  for (auto& [id, call] : calls) post(std::move(call.done), Error(reason.code(), reason.what()));
}

// The timer is set only when a call is due before all others: with equal time-outs that is once per
// time-out, not once per call.
void CallTable::arm_timer() {
  if (deadlines_.empty() || closed_) return;
  const auto first = deadlines_.begin()->first;
  if (first >= armed_for_) return;
  armed_for_ = first;
  timer_.expires_at(first);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& aborted) {
    if (aborted) return;
    if (auto self = weak.lock()) self->expire();
  });
}

void CallTable::expire() {
  std::vector<std::uint64_t> due;
  {
    const std::lock_guard lock(mutex_);
    // A re-armed timer may leave behind a wait that had fired already; it finds nothing due.
    armed_for_ = TimePoint::max();
    const auto now = Clock::now();
    for (const auto& [when, id] : deadlines_) {
      if (when > now) break;
      due.push_back(id);
    }
  }
  for (const auto id : due) abandon(id, deadline_error());
  const std::lock_guard lock(mutex_);
  arm_timer();
}

}  // namespace splitnet::detail
