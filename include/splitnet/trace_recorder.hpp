// SPDX-License-Identifier: Apache-2.0
/// \file
/// A timeline of inferences, for chrome://tracing and Perfetto (https://ui.perfetto.dev).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace splitnet {

/// One step, in one place. A plain value.
struct TraceSpan {
  std::string name;      ///< "head", "run".
  std::string trace_id;  ///< Of the W3C trace context.
  std::string span_id;   ///< Of the inference: its steps have the same one.
  std::string process;   ///< Where: "device", or the endpoint of a worker.
  double start_s = 0;    ///< On the device's std::chrono::steady_clock.
  double duration_s = 0;
  std::vector<std::pair<std::string, std::string>> args = {};  ///< More to show.
  friend bool operator==(const TraceSpan&, const TraceSpan&) = default;
};

/// Keeps the spans that were added last. Several sessions may share one. Thread-safe.
class TraceRecorder {
 public:
  explicit TraceRecorder(std::size_t max_spans = 65536) : max_spans_(max_spans) {}
  TraceRecorder(const TraceRecorder&) = delete;
  TraceRecorder& operator=(const TraceRecorder&) = delete;

  /// Times that are not finite, or end before they begin, are dropped.
  void add(TraceSpan span);
  /// In the order in which they were added.
  [[nodiscard]] std::vector<TraceSpan> spans() const;
  /// Spans that are not there any more.
  [[nodiscard]] std::uint64_t dropped() const;
  void clear();

  /// The Chrome trace event format: an object whose traceEvents are complete events ("X") with whole microseconds since
  /// the first of them. Each process has a name, and as many lanes as inferences were under way in it at once.
  [[nodiscard]] std::string to_chrome_json() const;
  /// The same into a file. Throws unavailable.
  void save(const std::string& path) const;

 private:
  const std::size_t max_spans_;
  mutable std::mutex mutex_;
  std::deque<TraceSpan> spans_;
  std::uint64_t dropped_ = 0;
};

}  // namespace splitnet
