// SPDX-License-Identifier: Apache-2.0
#include "pipe_connection.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "message_loop.hpp"

namespace custom {
namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

/// The calls that wait for an answer. Whoever takes a call out of the table ends it, and others find nothing: that
/// makes it exactly once, whatever comes first of answer, deadline, stop token and the end of the connection.
/// Completions run on the loop's thread, never inside `call` and never under the lock.
class Caller : public MessageLoop, public std::enable_shared_from_this<Caller> {
 public:
  Caller(Pipes pipes, std::string endpoint, const ConnectOptions& options)
      : MessageLoop(std::move(pipes), options.limits, options.max_queued_bytes),
        endpoint_(std::move(endpoint)),
        options_(options) {}

  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done);
  void close() {
    const Error reason = unavailable("closed");
    end_all(reason);
    hang_up(reason);
  }

 private:
  using StopCallback = std::stop_callback<std::function<void()>>;
  struct Call {
    Completion done;
    Deadline deadline;
    // Gone only outside the lock: its end waits for a callback that is running, and that one wants the lock.
    std::shared_ptr<StopCallback> stop;
  };

  void on_message(Message message) override;
  void on_end(const Error& reason) override { end_all(unavailable(reason.what())); }
  Deadline on_time() override;

  std::optional<Error> refuse(Deadline deadline, const std::stop_token& stop) const;
  void watch(std::uint64_t id, const std::stop_token& stop);
  void give_up(std::uint64_t id, const Error& error);
  bool end(std::uint64_t id, CallResult result);
  void end_all(const Error& reason);
  std::optional<Call> take(std::uint64_t id);
  [[nodiscard]] Error unavailable(const std::string& why) const {
    return Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': " + why);
  }

  const std::string endpoint_;
  const ConnectOptions options_;

  mutable std::mutex mutex_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::optional<Error> ended_;
};

void Caller::call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (auto refused = refuse(deadline, stop)) {
      return post([done = std::move(done), error = *std::move(refused)] { done(error); });
    }
    id = ++last_id_;
    calls_.emplace(id, Call{std::move(done), deadline, nullptr});
  }
  request.id = id;
  request.time_left.reset();
  if (deadline) request.time_left = *deadline - Clock::now();
  try {
    // Checksums protect what travels; these bytes stay on the machine.
    if (!send(encode(request, options_.payload_checksum.value_or(false), options_.limits))) {
      throw Error(ErrorCode::overloaded, "call to '" + endpoint_ + "': too many bytes wait to be sent");
    }
  } catch (const Error& error) {
    end(id, error);
  } catch (const std::exception& error) {
    end(id, Error(ErrorCode::internal, error.what()));
  }
  watch(id, stop);
}

std::optional<Error> Caller::refuse(Deadline deadline, const std::stop_token& stop) const {
  if (ended_) return Error(ended_->code(), ended_->what());
  if (stop.stop_requested()) return Error(ErrorCode::cancelled, "call: cancelled by its stop token");
  if (deadline && *deadline <= Clock::now()) return Error(ErrorCode::deadline_exceeded, "call: late already");
  if (calls_.size() < options_.max_calls_in_flight) return std::nullopt;
  return Error(ErrorCode::overloaded, "call: " + std::to_string(calls_.size()) + " are in flight, which is the limit");
}

/// After the request has been sent, so that a cancel never overtakes it.
void Caller::watch(std::uint64_t id, const std::stop_token& stop) {
  if (!stop.stop_possible()) return;
  const auto callback = std::make_shared<StopCallback>(stop, [weak = weak_from_this(), id] {
    if (const auto self = weak.lock()) self->give_up(id, Error(ErrorCode::cancelled, "call: cancelled"));
  });
  const std::lock_guard lock(mutex_);
  if (const auto found = calls_.find(id); found != calls_.end()) found->second.stop = callback;
}

void Caller::give_up(std::uint64_t id, const Error& error) {
  if (!end(id, error)) return;
  Message cancel;
  cancel.kind = MessageKind::cancel;
  cancel.id = id;
  (void)send(encode(cancel));  // Where there is no room for it, the peer still has the deadline.
}

Deadline Caller::on_time() {
  std::vector<std::uint64_t> due;
  Deadline next;
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    for (const auto& [id, call] : calls_) {
      if (!call.deadline) continue;
      if (*call.deadline <= now) {
        due.push_back(id);
      } else if (!next || *call.deadline < *next) {
        next = call.deadline;
      }
    }
  }
  for (const auto id : due) give_up(id, Error(ErrorCode::deadline_exceeded, "call: no answer before its deadline"));
  return next;
}

void Caller::on_message(Message message) {
  if (message.kind != MessageKind::reply && message.kind != MessageKind::error) {
    throw Error(ErrorCode::corrupt, "the peer sent a request instead of a reply");
  }
  auto call = take(message.id);
  if (!call) return;  // Late: nobody waits any more.
  call->stop.reset();
  call->done(std::move(message));
}

std::optional<Caller::Call> Caller::take(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  auto call = calls_.extract(id);
  if (!call) return std::nullopt;
  return std::move(call.mapped());
}

/// False when it has ended already. Posted under the lock: after end_all nothing more comes.
bool Caller::end(std::uint64_t id, CallResult result) {
  const std::lock_guard lock(mutex_);
  auto call = calls_.extract(id);
  if (!call) return false;
  post([call = std::move(call.mapped()), result = std::move(result)]() mutable {
    call.stop.reset();
    call.done(std::move(result));
  });
  return true;
}

void Caller::end_all(const Error& reason) {
  // Goes without the lock, which a stop callback that runs now may be waiting for.
  std::map<std::uint64_t, Call> calls;
  const std::lock_guard lock(mutex_);
  if (!ended_) ended_ = reason;
  calls.swap(calls_);
  for (auto& [id, call] : calls) {
    post([call, reason]() mutable {
      call.stop.reset();
      call.done(reason);
    });
  }
}

class PipeConnection : public Connection {
 public:
  PipeConnection(Pipes pipes, const std::string& endpoint, const ConnectOptions& options)
      : caller_(std::make_shared<Caller>(std::move(pipes), endpoint, options)),
        thread_([caller = caller_] { caller->run(); }) {}
  ~PipeConnection() override {
    caller_->close();
    caller_->finish();
    // A completion may be what destroys it.
    thread_.get_id() == std::this_thread::get_id() ? thread_.detach() : thread_.join();
  }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    caller_->call(std::move(request), deadline, stop, std::move(done));
  }
  void close() override { caller_->close(); }

 private:
  const std::shared_ptr<Caller> caller_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Connection> connect_by_pipe(Pipes pipes, const std::string& endpoint, const ConnectOptions& options) {
  return std::make_unique<PipeConnection>(std::move(pipes), endpoint, options);
}

}  // namespace custom
