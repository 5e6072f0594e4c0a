// SPDX-License-Identifier: Apache-2.0
#include "shaped_connection.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "asio.hpp"
#include "call_table.hpp"
#include "io_thread.hpp"
#include "link_schedule.hpp"
#include "within_room.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// Any odd number: the directions must not draw the same jitter.
constexpr std::uint64_t kSeedOfReplies = 0x9E3779B97F4A7C15;

LinkModel up_model(const ShapedOptions& options) {
  return {options.up_bytes_per_s, options.up_trace, options.delay_s, options.jitter_s, options.loss, options.seed};
}
LinkModel down_model(const ShapedOptions& options) {
  return {options.down_bytes_per_s, options.down_trace, options.delay_s,
          options.jitter_s,         options.loss,       options.seed ^ kSeedOfReplies};
}

/// Everything of a connection that pending work may still refer to. Thread-safe.
class Caller : public std::enable_shared_from_this<Caller> {
 public:
  Caller(std::shared_ptr<asio::io_context> context, std::unique_ptr<Connection> inner, std::string endpoint,
         const ShapedOptions& shape, const ConnectOptions& options)
      : context_(std::move(context)),
        inner_(std::move(inner)),
        endpoint_(std::move(endpoint)),
        options_(options),
        up_(up_model(shape), Clock::now()),
        down_(down_model(shape), Clock::now()),
        timer_(*context_) {}

  /// Before anything else.
  void start() {
    calls_ = std::make_shared<CallTable>(context_, options_.max_calls_in_flight,
                                         [weak = weak_from_this()](std::uint64_t id) {
                                           if (auto self = weak.lock()) self->forget(id);
                                         });
  }

  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
    const auto id = calls_->begin(deadline, stop, std::move(done));
    if (id == 0) return;
    or_end(id, [&] { send(id, std::move(request), deadline); });
    calls_->watch(id, stop);
  }

  void close(const std::string& why) {
    calls_->close(Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': " + why));
    std::unordered_map<std::uint64_t, Travel> travels;  // Freed without the lock: they may hold large tensors.
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      travels.swap(travels_);
      timer_.cancel();
    }
    inner_->close();
  }

 private:
  /// A call from its beginning to its end, wherever it is.
  struct Travel {
    Message message;  // The request on its way there, the reply on its way back; in between it is empty.
    Deadline deadline;
    std::stop_source stop;  // Of the inner call; asked before there is one, it never begins.
  };

  void send(std::uint64_t id, Message request, Deadline deadline) {
    const auto bytes = encoded_size_bytes(request, options_.limits);
    const std::lock_guard lock(mutex_);
    if (closed_) throw Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': closed");
    const auto now = Clock::now();
    if (bytes > options_.max_queued_bytes - up_.waiting_bytes(now)) {
      throw Error(ErrorCode::overloaded, "call to '" + endpoint_ + "': " + std::to_string(bytes) +
                                             " bytes would exceed the " + std::to_string(options_.max_queued_bytes) +
                                             " that may wait");
    }
    travels_.emplace(id, Travel{std::move(request), deadline, {}});
    up_.send(id, bytes, now);
    arm_timer();
  }

  /// On the context's thread: the request has travelled.
  void arrive_there(std::uint64_t id) {
    std::unique_lock lock(mutex_);
    const auto found = travels_.find(id);
    if (found == travels_.end()) return;  // Given up on the way: it never reaches the other side.
    auto request = std::move(found->second.message);
    const auto deadline = found->second.deadline;
    auto stop = found->second.stop.get_token();
    lock.unlock();
    inner_->call(std::move(request), deadline, std::move(stop), [weak = weak_from_this(), id](CallResult result) {
      // Weak: the inner connection, which is ours, keeps its completions.
      if (auto self = weak.lock()) self->answer(id, std::move(result));
    });
  }

  /// On a thread of the inner connection. Only messages travel back: an error of its own is known on this side.
  void answer(std::uint64_t id, CallResult result) {
    if (std::holds_alternative<Error>(result)) return end(id, std::move(result));
    or_end(id, [&] { send_back(id, std::get<Message>(std::move(result))); });
  }

  void send_back(std::uint64_t id, Message reply) {
    const auto bytes = encoded_size_bytes(reply, options_.limits);
    const std::lock_guard lock(mutex_);
    const auto found = travels_.find(id);
    if (found == travels_.end()) return;
    found->second.message = std::move(reply);
    down_.send(id, bytes, Clock::now());
    arm_timer();
  }

  /// On the context's thread: the reply has travelled.
  void arrive_back(std::uint64_t id) {
    auto travel = take(id);
    if (!travel) return;
    travel->message.id = id;
    calls_->finish_here(id, std::move(travel->message));
  }

  std::optional<Travel> take(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    const auto found = travels_.find(id);
    if (found == travels_.end()) return std::nullopt;
    std::optional<Travel> travel(std::move(found->second));
    travels_.erase(found);
    return travel;
  }

  /// Nobody waits for this call any more.
  void forget(std::uint64_t id) {
    if (auto travel = take(id)) travel->stop.request_stop();
  }

  void end(std::uint64_t id, CallResult result) {
    (void)take(id);
    calls_->finish_later(id, std::move(result));
  }

  /// What `action` throws ends the call.
  template <class Action>
  void or_end(std::uint64_t id, Action&& action) {
    try {
      action();
    } catch (const Error& error) {
      end(id, error);
    } catch (const std::exception& error) {
      end(id, Error(ErrorCode::internal, std::string("call: ") + error.what()));
    }
  }

  /// Under the lock. Set only when something arrives before all else.
  void arm_timer() {
    const auto next = std::min(up_.next_arrival(), down_.next_arrival());
    if (closed_ || next >= armed_for_) return;
    armed_for_ = next;
    timer_.expires_at(next);
    timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& aborted) {
      if (aborted) return;
      if (auto self = weak.lock()) self->on_timer();
    });
  }

  void on_timer() {
    std::vector<LinkSchedule::Arrival> there;
    std::vector<LinkSchedule::Arrival> back;
    {
      const std::lock_guard lock(mutex_);
      // A re-armed timer may leave behind a wait that had fired already; it finds nothing due.
      armed_for_ = Clock::time_point::max();
      const auto now = Clock::now();
      there = up_.take_arrived(now);
      back = down_.take_arrived(now);
    }
    for (const auto& message : back) {
      if (message.breaks) return close("broken: a message was lost, as the options want it");
      arrive_back(message.id);
    }
    for (const auto& message : there) {
      if (message.breaks) return close("broken: a message was lost, as the options want it");
      arrive_there(message.id);
    }
    const std::lock_guard lock(mutex_);
    arm_timer();
  }

  const std::shared_ptr<asio::io_context> context_;
  const std::unique_ptr<Connection> inner_;
  const std::string endpoint_;
  const ConnectOptions options_;
  std::shared_ptr<CallTable> calls_;

  std::mutex mutex_;
  LinkSchedule up_;
  LinkSchedule down_;
  std::unordered_map<std::uint64_t, Travel> travels_;
  asio::steady_timer timer_;
  Clock::time_point armed_for_ = Clock::time_point::max();
  bool closed_ = false;
};

class ShapedConnection : public Connection {
 public:
  ShapedConnection(std::unique_ptr<Connection> inner, const std::string& endpoint, const ShapedOptions& shape,
                   const ConnectOptions& options)
      : caller_(std::make_shared<Caller>(thread_.context(), std::move(inner), endpoint, shape, options)) {
    caller_->start();
  }
  ~ShapedConnection() override { caller_->close("closed"); }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    const auto caller = caller_;  // The completion may destroy this connection before `call` has returned.
    caller->call(std::move(request), deadline, stop, std::move(done));
  }
  void close() override { caller_->close("closed"); }

 private:
  // Order matters: the thread ends last, when the completions of `close` have run.
  IoThread thread_;
  const std::shared_ptr<Caller> caller_;
};

}  // namespace

std::unique_ptr<Connection> shaped_connect(Transport& inner, const ShapedRoute& route, const ShapedOptions& shape,
                                           const ConnectOptions& options) {
  // Calls are counted here. One that has been given up here may for a moment still be under way there.
  auto inner_options = options;
  inner_options.max_calls_in_flight = std::numeric_limits<std::size_t>::max();
  auto connection = inner.connect(route.inner, inner_options);
  return within_room("connection to '" + route.text + "'", [&] {
    return std::make_unique<ShapedConnection>(std::move(connection), route.text, shape, options);
  });
}

}  // namespace splitnet::detail
