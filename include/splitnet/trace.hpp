// SPDX-License-Identifier: Apache-2.0
/// \file
/// W3C trace context (https://www.w3.org/TR/trace-context/): which larger operation an inference belongs to.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "splitnet/message.hpp"

namespace splitnet {

/// What TraceContext::traceparent says. A plain value.
struct TraceParent {
  std::string trace_id;  ///< Of the whole operation: 32 hexadecimal digits in lower case, not all 0.
  std::string span_id;   ///< Of the part that asks ("parent-id"): 16 of them, not all 0.
  bool sampled = false;  ///< Whoever asks may be recording it.
  friend bool operator==(const TraceParent&, const TraceParent&) = default;
};

/// Nothing for text that is not well-formed; the standard has it treated as if there were none. Of a version after 00
/// what that version has in common with it is read; what may follow is at most 512 characters with the rest, none of
/// which ends a line or a field: the text can stand in an HTTP header as it is.
std::optional<TraceParent> parse_traceparent(std::string_view text);
/// In version 00.
std::string to_string(const TraceParent& parent);
/// At most 512 characters that may stand in an HTTP header; anything else is not passed on.
bool is_tracestate(std::string_view text);

/// Steps in Message::times_s of a reply to a sampled request: not how long something took, but what the worker's
/// monotonic clock showed when the request had come, and when the reply went. clock_offset.hpp says what to do with it.
inline constexpr const char* clock_received = "clock_received";
inline constexpr const char* clock_sent = "clock_sent";

/// The beginning of a trace, with random ids. Thread-safe.
TraceContext new_trace(bool sampled = true);
/// The same trace with a new span id, for a part of what `context` stands for; keeps a tracestate that is_tracestate.
/// Throws invalid_argument when `context` has no well-formed traceparent. Thread-safe.
TraceContext child_of(const TraceContext& context);

}  // namespace splitnet
