// SPDX-License-Identifier: Apache-2.0
// What a session writes into a TraceRecorder. Private.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "splitnet/clock_offset.hpp"
#include "splitnet/message.hpp"
#include "splitnet/trace.hpp"
#include "splitnet/trace_recorder.hpp"

namespace splitnet::detail {

/// Of one session: the recorder, and the clocks of its workers. Thread-safe.
class SessionTrace {
 public:
  explicit SessionTrace(std::shared_ptr<TraceRecorder> recorder) : recorder_(std::move(recorder)) {}

  void add(TraceSpan span) { recorder_->add(std::move(span)); }
  /// Takes the round trip in, and gives what is known of that clock then.
  ClockOffset observe(const std::string& endpoint, const RoundTrip& trip);

 private:
  const std::shared_ptr<TraceRecorder> recorder_;
  std::mutex mutex_;
  std::map<std::string, ClockOffset> clocks_;
};

/// Of one inference. Thread-safe, once it is made.
class InferenceTrace {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  InferenceTrace() = default;
  /// `session`: none where nothing is recorded. A trace that is asked for is gone on with, and recorded when it is
  /// sampled; when none is, one begins.
  InferenceTrace(std::shared_ptr<SessionTrace> session, const TraceContext& asked);

  /// For requests to workers.
  [[nodiscard]] const TraceContext& context() const noexcept { return context_; }
  /// On the device.
  void step(const char* name, TimePoint start, TimePoint end) const;
  /// A request and its reply, with the steps that the worker tells of.
  void hop(const std::string& endpoint, TimePoint sent, TimePoint received, const Message& reply) const;
  /// All of it. `outcome`: "answered", or the code of an error.
  void end(TimePoint start, std::string_view outcome) const;

 private:
  void add(const char* name, const std::string& process, double start_s, double end_s) const;

  std::shared_ptr<SessionTrace> session_;  // None: nothing is recorded.
  TraceContext context_;
  TraceParent parent_;  // Of context_, when something is.
};

}  // namespace splitnet::detail
