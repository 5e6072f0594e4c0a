// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_probe.hpp"

#include <algorithm>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check_number.hpp"
#include "elapsed.hpp"
#include "splitnet/error.hpp"
#include "splitnet/tensor.hpp"
#include "statistics.hpp"

namespace splitnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSmallestBytes = 4096;
constexpr std::size_t kGrowth = 4;
constexpr std::size_t kPipelined = 8;
constexpr double kTick_s = 1e-9;  // What takes less can't be told from nothing.

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

/// A round trip, of which the worker says that it waited so long for a thread.
struct RoundTrip {
  double took_s = 0;
  double waited_s = 0;
};

class Prober {
 public:
  Prober(Connection& connection, const LinkProbeOptions& options)
      : connection_(connection), options_(options), until_(Clock::now() + options.timeout) {}

  LinkProfile probe() {
    LinkProfile link;
    (void)trips(0, 0, 2, {});  // Warms up both sides.
    const auto small = trips(0, 0, options_.small_messages, options_.pause);
    // A wake-up on an idle worker is part of every call; a queue on a busy one is not the link's.
    std::vector<double> waits_s;
    for (const RoundTrip& trip : small) waits_s.push_back(trip.waited_s);
    std::sort(waits_s.begin(), waits_s.end());
    wake_up_s_ = waits_s[waits_s.size() / 4];
    const auto small_s = times_s(small);
    const double round_trip_s = detail::median(small_s);
    link.jitter_s = detail::spread(small_s);
    link.overhead_s = std::min(overhead_s(), round_trip_s);
    link.rtt_s = round_trip_s - link.overhead_s;
    const double noise_s = 3 * link.jitter_s;
    link.up_bytes_per_s = bytes_per_s(round_trip_s, noise_s, [&](std::size_t bytes, std::size_t count) {
      return detail::median(times_s(trips(bytes, 0, count, {})));
    });
    link.down_bytes_per_s = bytes_per_s(round_trip_s, noise_s, [&](std::size_t bytes, std::size_t count) {
      return detail::median(times_s(trips(0, bytes, count, {})));
    });
    return link;
  }

 private:
  std::vector<RoundTrip> trips(std::size_t up_bytes, std::size_t down_bytes, std::size_t count,
                               std::chrono::nanoseconds pause) {
    const Message message = probe_message(up_bytes, down_bytes);
    std::vector<RoundTrip> trips;
    for (std::size_t i = 0; i < count; ++i) {
      std::this_thread::sleep_for(pause);
      trips.push_back(trip(message, down_bytes));
    }
    return trips;
  }

  RoundTrip trip(const Message& message, std::size_t down_bytes) {
    const auto start = Clock::now();
    const Message reply = call_and_wait(connection_, message, until_);
    const double took_s = detail::seconds_since(start);
    const auto* bytes = reply.values.size() == 1 ? reply.values[0].get_if<Tensor>() : nullptr;
    if (bytes == nullptr || bytes->packed_bytes() != down_bytes) {
      throw Error(ErrorCode::corrupt, "a probe for " + std::to_string(down_bytes) + " bytes was answered with others");
    }
    const auto waited = reply.times_s.find("queue");
    const bool plausible = waited != reply.times_s.end() && waited->second >= 0 && waited->second <= took_s;
    return {took_s, plausible ? waited->second : 0};
  }

  [[nodiscard]] std::vector<double> times_s(const std::vector<RoundTrip>& trips) const {
    std::vector<double> times;
    for (const RoundTrip& trip : trips) times.push_back(trip.took_s - trip.waited_s + wake_up_s_);
    return times;
  }

  /// What one more small message adds to a pipeline of them; 0 when the worker does not take as many at once.
  double overhead_s() {
    const double alone_s = detail::median(times_s(trips(0, 0, 5, {})));
    try {
      return std::max((pipelined_s() - alone_s) / (kPipelined - 1), 0.0);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::overloaded) throw;
      return 0;
    }
  }

  /// From the first of several small messages to the last answer.
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
    return detail::seconds_since(start);
  }

  /// `median_s(bytes, count)` sends messages in one direction. A single slow one must not end the growth.
  template <class Median>
  double bytes_per_s(double round_trip_s, double noise_s, Median&& median_s) {
    std::size_t bytes = kSmallestBytes;
    for (;;) {
      const bool is_last = bytes * kGrowth > options_.max_bytes;
      const auto beyond_s = [&](std::size_t count) { return median_s(bytes, count) - round_trip_s; };
      if (is_last || beyond_s(1) >= options_.message_s) {
        const double found_s = beyond_s(options_.large_messages);
        // Faster than can be told: at least as fast as the noise of small messages says.
        if (is_last || found_s >= options_.message_s / kGrowth) {
          return static_cast<double>(bytes) / std::max({found_s, noise_s, kTick_s});
        }
      }
      bytes *= kGrowth;
    }
  }

  Connection& connection_;
  const LinkProbeOptions& options_;
  const Clock::time_point until_;
  double wake_up_s_ = 0;
};

}  // namespace

void LinkProbeOptions::validate() const {
  detail::check_at_least("LinkProbeOptions::small_messages", small_messages, 3);
  detail::check_at_least("LinkProbeOptions::large_messages", large_messages, 1);
  detail::check_at_least("LinkProbeOptions::max_bytes", max_bytes, kSmallestBytes);
  detail::check_positive("LinkProbeOptions::message_s", message_s);
  detail::check_positive("LinkProbeOptions::timeout in seconds", detail::in_seconds(timeout));
}

LinkProfile probe_link(Connection& connection, const LinkProbeOptions& options) {
  options.validate();
  try {
    return Prober(connection, options).probe();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded) throw;
    throw Error(ErrorCode::deadline_exceeded, "the link could not be measured within " +
                                                  detail::short_number(detail::in_seconds(options.timeout)) +
                                                  " s: it carries nothing, or too little (" + error.what() + ")");
  }
}

}  // namespace splitnet
