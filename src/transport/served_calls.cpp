// SPDX-License-Identifier: Apache-2.0
#include "served_calls.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace splitnet::detail {
namespace {

/// A peer may claim any time: adding centuries to the clock would overflow, so they mean no deadline.
Deadline deadline_from(std::optional<std::chrono::nanoseconds> time_left) {
  if (!time_left || *time_left > std::chrono::hours(24 * 365)) return std::nullopt;
  return std::chrono::steady_clock::now() + std::max(*time_left, std::chrono::nanoseconds(0));
}

}  // namespace

/// What all copies of one Responder share: the first call wins, and the last copy to go answers for all.
class ServedCalls::Answer {
 public:
  Answer(std::weak_ptr<ServedCalls> calls, std::uint64_t id) : calls_(std::move(calls)), id_(id) {}
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() {
    if (given_.load()) return;
    try {
      give(Message::make_error(Error(ErrorCode::internal, "handler: dropped its responder without an answer")));
    } catch (...) {  // Out of memory: the caller's deadline ends the call.
    }
  }

  void give(Message reply) {
    if (given_.exchange(true)) return;
    if (auto calls = calls_.lock()) calls->answer(id_, std::move(reply));
  }

 private:
  const std::weak_ptr<ServedCalls> calls_;
  const std::uint64_t id_;
  std::atomic<bool> given_{false};
};

void ServedCalls::serve(Message request, const Handler& handler, const std::string& peer) {
  CallContext context;
  context.peer = peer;
  context.allocate = allocate_;
  context.deadline = deadline_from(request.time_left);
  const auto id = request.id;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    const auto [entry, is_new] = calls_.try_emplace(id);
    if (!is_new) return;  // A duplicate: the first one will be answered.
    context.stop = entry->second.get_token();
    ++in_flight_;
  }
  auto answer = std::make_shared<Answer>(weak_from_this(), id);
  try {
    handler(std::move(request), std::move(context), [answer](Message reply) { answer->give(std::move(reply)); });
  } catch (const Error& error) {
    answer->give(Message::make_error(error));
  } catch (const std::exception& error) {
    answer->give(Message::make_error(Error(ErrorCode::internal, std::string("handler: ") + error.what())));
  } catch (...) {
    answer->give(Message::make_error(Error(ErrorCode::internal, "handler: threw something unknown")));
  }
}

void ServedCalls::answer(std::uint64_t id, Message reply) {
  {
    const std::lock_guard lock(mutex_);
    if (calls_.erase(id) == 0) return;  // Closed.
    --in_flight_;
  }
  reply.id = id;
  if (reply.kind != MessageKind::error) reply.kind = MessageKind::reply;
  send_(std::move(reply));
}

void ServedCalls::cancel(std::uint64_t id) {
  std::stop_source stop(std::nostopstate);
  {
    const std::lock_guard lock(mutex_);
    const auto found = calls_.find(id);
    if (found == calls_.end()) return;
    stop = found->second;
  }
  stop.request_stop();  // Runs callbacks of the handler's: not under the lock.
}

void ServedCalls::close() {
  std::unordered_map<std::uint64_t, std::stop_source> calls;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    calls.swap(calls_);
    in_flight_ = 0;
  }
  for (auto& [id, stop] : calls) stop.request_stop();
}

}  // namespace splitnet::detail
