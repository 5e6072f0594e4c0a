// SPDX-License-Identifier: Apache-2.0
#include "inference_trace.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "elapsed.hpp"

namespace splitnet::detail {
namespace {

const std::string on_device = "device";

std::optional<double> time_in(const Message& reply, const char* name) {
  const auto found = reply.times_s.find(name);
  if (found == reply.times_s.end() || !std::isfinite(found->second)) return std::nullopt;
  return found->second;
}

}  // namespace

ClockOffset SessionTrace::observe(const std::string& endpoint, const RoundTrip& trip) {
  const std::lock_guard lock(mutex_);
  ClockOffset& clock = clocks_[endpoint];
  clock.observe(trip);
  return clock;
}

InferenceTrace::InferenceTrace(std::shared_ptr<SessionTrace> session, const TraceContext& asked) {
  const auto asked_parent = parse_traceparent(asked.traceparent);
  const bool records = session && (!asked_parent || asked_parent->sampled);
  if (asked_parent) context_ = records ? child_of(asked) : asked;
  if (!records) return;
  if (!asked_parent) context_ = new_trace();
  parent_ = *parse_traceparent(context_.traceparent);
  session_ = std::move(session);
}

void InferenceTrace::add(const char* name, const std::string& process, double start_s, double end_s) const {
  session_->add({name, parent_.trace_id, parent_.span_id, process, start_s, std::max(0.0, end_s - start_s)});
}

void InferenceTrace::step(const char* name, TimePoint start, TimePoint end) const {
  if (session_) add(name, on_device, reading_s(start), reading_s(end));
}

void InferenceTrace::hop(const std::string& endpoint, TimePoint sent, TimePoint received, const Message& reply) const {
  if (!session_) return;
  const auto there_received = time_in(reply, clock_received);
  const auto there_sent = time_in(reply, clock_sent);
  const double sent_s = reading_s(sent);
  const double received_s = reading_s(received);
  if (!there_received || !there_sent || !(*there_sent >= *there_received) ||
      !(*there_sent - *there_received <= received_s - sent_s)) {
    return add("round trip", on_device, sent_s, received_s);  // Whoever answers does not tell the time, or tells tales.
  }
  const auto clock = session_->observe(endpoint, {sent_s, *there_received, *there_sent, received_s});
  const double arrived_s = std::clamp(clock.here_s(*there_received), sent_s, received_s);
  const double left_s = std::clamp(clock.here_s(*there_sent), arrived_s, received_s);
  add("send", on_device, sent_s, arrived_s);
  add("receive", on_device, left_s, received_s);
  double at_s = arrived_s;
  for (const char* step : {"queue", "slice", "decode", "run", "encode", "forward"}) {
    const auto took_s = time_in(reply, step);
    if (!took_s) continue;
    const double end_s = std::clamp(at_s + *took_s, at_s, left_s);
    add(step, endpoint, at_s, end_s);
    at_s = end_s;
  }
}

void InferenceTrace::end(TimePoint start, std::string_view outcome) const {
  if (!session_) return;
  const double start_s = reading_s(start);
  const double took_s = reading_s(std::chrono::steady_clock::now()) - start_s;
  session_->add({"inference",
                 parent_.trace_id,
                 parent_.span_id,
                 on_device,
                 start_s,
                 took_s,
                 {{"outcome", std::string(outcome)}}});
}

}  // namespace splitnet::detail
