// SPDX-License-Identifier: Apache-2.0
// The calling side of any transport: which calls wait for an answer. Private to the transports.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "asio.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// Whoever removes a call from the table runs its completion, outside the lock and on the context's
/// thread: that makes it exactly once under every race of answer, deadline, cancellation and closing.
/// Thread-safe. Keeps the context's thread running until it is closed and gone.
class CallTable : public std::enable_shared_from_this<CallTable> {
 public:
  /// `abandoned(id)` tells the peer that nobody waits any more; runs on any thread, without a lock.
  CallTable(std::shared_ptr<asio::io_context> context, std::size_t max_in_flight,
            std::function<void(std::uint64_t)> abandoned);

  /// Registers a call and has `send(Message)` send it, with its id and the time left; what that throws ends the call.
  template <class Send>
  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done, Send&& send) {
    const auto id = begin(deadline, stop, std::move(done));
    if (id == 0) return;
    request.id = id;
    request.time_left.reset();
    if (deadline) request.time_left = *deadline - std::chrono::steady_clock::now();
    try {
      send(std::move(request));
    } catch (const Error& error) {
      finish_later(id, error);
    } catch (const std::exception& error) {
      finish_later(id, Error(ErrorCode::internal, std::string("call: ") + error.what()));
    }
    watch(id, stop);
  }
  /// Registers a call and gives its id; 0 when it was refused, with the reason already on its way to `done`.
  std::uint64_t begin(Deadline deadline, const std::stop_token& stop, Completion done);
  /// Follows the caller's stop token; called once the request is sent, so that a cancel never overtakes it.
  void watch(std::uint64_t id, const std::stop_token& stop);
  /// The call has not ended.
  [[nodiscard]] bool is_waiting(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    return calls_.contains(id);
  }
  /// Ends a call from any thread; the completion runs later.
  void finish_later(std::uint64_t id, CallResult result);
  /// Ends a call on the context's thread, outside of any `call`.
  void finish_here(std::uint64_t id, CallResult result);
  /// Ends all calls with `reason`, later; calls that begin afterwards end so too.
  void close(const Error& reason);
  /// Ends all calls with `reason`, later; calls that begin before `resume` end with `unavailable`.
  void suspend(const Error& reason);
  void resume();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  using StopCallback = std::stop_callback<std::function<void()>>;
  struct Call {
    Completion done;
    Deadline deadline;
    std::unique_ptr<StopCallback> stop;  // Destroyed outside the lock: that waits for a running callback.
  };

  std::optional<Call> take(std::uint64_t id);
  void abandon(std::uint64_t id, const Error& error);
  std::optional<Error> admit(std::uint64_t id, Deadline deadline, const std::stop_token& stop, Completion& done);
  void post(Completion done, CallResult result);
  void end_all(std::optional<Error> CallTable::*state, const Error& reason);
  void arm_timer();  // Under the lock.
  void expire();

  const std::shared_ptr<asio::io_context> context_;
  // A thread that has just taken a call (a stop callback, say) can still post its completion.
  const asio::executor_work_guard<asio::io_context::executor_type> work_;
  const std::size_t max_in_flight_;
  const std::function<void(std::uint64_t)> abandoned_;

  std::mutex mutex_;
  std::uint64_t last_id_ = 0;  // 0 is never a call: an error message with id 0 is about the connection.
  std::unordered_map<std::uint64_t, Call> calls_;
  std::set<std::pair<TimePoint, std::uint64_t>> deadlines_;
  asio::steady_timer timer_;
  TimePoint armed_for_ = TimePoint::max();
  std::optional<Error> closed_;
  std::optional<Error> suspended_;
};

}  // namespace splitnet::detail
