// SPDX-License-Identifier: Apache-2.0
/// \file
/// Tools for the tests of a transport: messages, a recorder of outcomes, a handler that holds its requests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "splitnet/transport.hpp"

namespace splitnet::testing {

inline constexpr auto kLongTime = std::chrono::seconds(30);  // Only ever waited for when a case fails.

inline Tensor iota_u8(std::int64_t size, unsigned seed = 0) {
  Tensor tensor = Tensor::empty(DType::u8, {size});
  auto* bytes = tensor.data();
  for (std::int64_t i = 0; i < size; ++i)
    bytes[i] = static_cast<std::byte>((static_cast<unsigned>(i) * 31 + seed) & 0xff);
  return tensor;
}

inline Message request_with(std::vector<Value> values) {
  Message message;
  message.request.model = "conformance";
  message.values = std::move(values);
  return message;
}

inline Message reply_with(std::vector<Value> values) {
  Message message;
  message.kind = MessageKind::reply;
  message.values = std::move(values);
  return message;
}

inline void echo(Message request, const CallContext& /*context*/, const Responder& respond) {
  respond(reply_with(std::move(request.values)));
}

/// Collects the outcome of one call and notes how often, and whether inside `call`, it came.
class Outcome {
 public:
  Completion completion() {
    return [state = state_](CallResult result) {
      const std::lock_guard lock(state->mutex);
      ++state->count;
      state->inside_call = state->inside_call || in_call();
      if (!state->result) state->result.emplace(std::move(result));
      state->changed.notify_all();
    };
  }
  bool wait(std::chrono::nanoseconds time = kLongTime) const {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, time, [this] { return state_->result.has_value(); });
  }
  int count() const {
    const std::lock_guard lock(state_->mutex);
    return state_->count;
  }
  bool came_inside_call() const {
    const std::lock_guard lock(state_->mutex);
    return state_->inside_call;
  }
  /// The error of the call, whether the transport or the peer said it; nothing for a good reply.
  std::optional<ErrorCode> error() const {
    if (!wait()) return std::nullopt;
    const std::lock_guard lock(state_->mutex);
    if (const auto* error = std::get_if<Error>(&*state_->result)) return error->code();
    const auto& message = std::get<Message>(*state_->result);
    return message.kind == MessageKind::error ? std::optional(message.error) : std::nullopt;
  }
  const Message* message() const { return wait() ? std::get_if<Message>(&*state_->result) : nullptr; }
  static bool& in_call() {
    thread_local bool inside = false;
    return inside;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<CallResult> result;
    int count = 0;
    bool inside_call = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Calls with the thread marked, so that a completion that runs inline is found out.
inline Outcome start_call(Connection& connection, Message request, Deadline deadline = {}, std::stop_token stop = {}) {
  Outcome outcome;
  Outcome::in_call() = true;
  connection.call(std::move(request), deadline, std::move(stop), outcome.completion());
  Outcome::in_call() = false;
  return outcome;
}

/// A handler that keeps requests until the test answers them.
class Held {
 public:
  struct Item {
    Message request;
    CallContext context;
    Responder respond;
  };
  Handler handler() {
    return [state = state_](Message request, CallContext context, Responder respond) {
      const std::lock_guard lock(state->mutex);
      state->items.push_back({std::move(request), std::move(context), std::move(respond)});
      state->changed.notify_all();
    };
  }
  bool wait_for(std::size_t count, std::chrono::nanoseconds time = kLongTime) {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, time, [&] { return state_->items.size() >= count; });
  }
  std::vector<Item> take() {
    const std::lock_guard lock(state_->mutex);
    return std::exchange(state_->items, {});
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Item> items;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

inline bool wait_until_stopped(const std::stop_token& stop) {
  std::promise<void> stopped;
  const std::stop_callback callback(stop, [&stopped] { stopped.set_value(); });
  return stopped.get_future().wait_for(kLongTime) == std::future_status::ready;
}

template <class Function>
ErrorCode code_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::internal;
}

}  // namespace splitnet::testing
