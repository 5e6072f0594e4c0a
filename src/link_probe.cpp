// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_probe.hpp"

#include <algorithm>
#include <cstdint>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check_number.hpp"
#include "splitnet/error.hpp"
#include "splitnet/tensor.hpp"
#include "statistics.hpp"

namespace splitnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSmallestBytes = 4096;
constexpr std::size_t kGrowth = 4;
constexpr std::size_t kPipelined = 32;

Message probe_message(std::size_t up_bytes, std::size_t down_bytes) {
  Message message;
  message.request.operation = Operation::probe;
  message.values.emplace_back(static_cast<std::int64_t>(down_bytes));
  if (up_bytes == 0) return message;
  Tensor payload = Tensor::empty(DType::u8, {static_cast<std::int64_t>(up_bytes)});
  std::fill_n(payload.storage.data(), up_bytes, std::byte{0});
  message.values.emplace_back(std::move(payload));
  return message;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Prober {
 public:
  Prober(Connection& connection, const LinkProbeOptions& options)
      : connection_(connection), options_(options), until_(Clock::now() + options.timeout) {}

  LinkProfile probe() {
    LinkProfile link;
    (void)times_s(0, 0, 2, {});  // Warms up both sides.
    const auto small_s = times_s(0, 0, options_.small_messages, options_.pause);
    // A wake-up on an idle worker is part of every call; a queue on a busy one is not the link's.
    std::sort(waits_s_.begin(), waits_s_.end());
    wake_up_s_ = waits_s_[waits_s_.size() / 4];
    const double round_trip_s = detail::median(small_s) + wake_up_s_;
    link.jitter_s = detail::spread(small_s);
    link.overhead_s = std::clamp((pipelined_s() - round_trip_s) / (kPipelined - 1), 0.0, round_trip_s);
    link.rtt_s = round_trip_s - link.overhead_s;
    link.up_bytes_per_s = bytes_per_s(round_trip_s, [](std::size_t bytes) { return std::pair(bytes, std::size_t{0}); });
    link.down_bytes_per_s =
        bytes_per_s(round_trip_s, [](std::size_t bytes) { return std::pair(std::size_t{0}, bytes); });
    return link;
  }

 private:
  /// One round trip without what the worker waited for a thread.
  double time_s(const Message& message) {
    const auto start = Clock::now();
    const Message reply = call_and_wait(connection_, message, until_);
    const double took_s = seconds_since(start);
    const auto waited = reply.times_s.find("queue");
    const double wait_s = waited == reply.times_s.end() ? 0 : std::clamp(waited->second, 0.0, took_s);
    waits_s_.push_back(wait_s);
    return took_s - wait_s;
  }

  std::vector<double> times_s(std::size_t up_bytes, std::size_t down_bytes, std::size_t count,
                              std::chrono::nanoseconds pause) {
    const Message message = probe_message(up_bytes, down_bytes);
    std::vector<double> times;
    for (std::size_t i = 0; i < count; ++i) {
      std::this_thread::sleep_for(pause);
      times.push_back(time_s(message));
    }
    return times;
  }

  /// From the first of many small messages to the last answer.
  double pipelined_s() {
    const auto start = Clock::now();
    std::vector<std::future<CallResult>> results;
    for (std::size_t i = 0; i < kPipelined; ++i) {
      auto promise = std::make_shared<std::promise<CallResult>>();
      results.push_back(promise->get_future());
      connection_.call(probe_message(0, 0), until_, {},
                       [promise](CallResult result) { promise->set_value(std::move(result)); });
    }
    for (auto& result : results) {
      const CallResult arrived = result.get();
      if (const auto* error = std::get_if<Error>(&arrived)) throw *error;
      std::get<Message>(arrived).throw_if_error();
    }
    return seconds_since(start);
  }

  /// `sizes(bytes)` gives the bytes up and down of a probe in one direction.
  template <class Sizes>
  double bytes_per_s(double round_trip_s, Sizes&& sizes) {
    const auto beyond_s = [&](std::size_t bytes, std::size_t count) {
      const auto [up, down] = sizes(bytes);
      return detail::median(times_s(up, down, count, {})) + wake_up_s_ - round_trip_s;
    };
    std::size_t bytes = kSmallestBytes;
    while (beyond_s(bytes, 1) < options_.message_s && bytes * kGrowth <= options_.max_bytes) bytes *= kGrowth;
    constexpr double tick_s = 1e-9;
    return static_cast<double>(bytes) / std::max(beyond_s(bytes, options_.large_messages), tick_s);
  }

  Connection& connection_;
  const LinkProbeOptions& options_;
  const Clock::time_point until_;
  std::vector<double> waits_s_;  // For a thread of the worker.
  double wake_up_s_ = 0;
};

}  // namespace

void LinkProbeOptions::validate() const {
  const auto at_least = [](std::size_t found, std::size_t least, const char* name) {
    if (found >= least) return;
    throw Error(ErrorCode::invalid_argument, std::string("LinkProbeOptions::") + name + " is " + std::to_string(found) +
                                                 ", expected at least " + std::to_string(least));
  };
  at_least(small_messages, 3, "small_messages");
  at_least(large_messages, 1, "large_messages");
  at_least(max_bytes, kSmallestBytes, "max_bytes");
  detail::check_positive("LinkProbeOptions::message_s", message_s);
  detail::check_positive("LinkProbeOptions::timeout in seconds", std::chrono::duration<double>(timeout).count());
}

LinkProfile probe_link(Connection& connection, const LinkProbeOptions& options) {
  options.validate();
  try {
    return Prober(connection, options).probe();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded) throw;
    throw Error(ErrorCode::deadline_exceeded,
                "the link could not be measured within " +
                    detail::short_number(std::chrono::duration<double>(options.timeout).count()) +
                    " s: it carries nothing, or too little (" + error.what() + ")");
  }
}

}  // namespace splitnet
