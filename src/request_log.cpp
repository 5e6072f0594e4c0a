// SPDX-License-Identifier: Apache-2.0
#include "request_log.hpp"

#include "splitnet/trace.hpp"

namespace splitnet::detail {
namespace {

constexpr std::size_t longest_message = 500;

std::string_view name_of(Operation operation) {
  switch (operation) {
    case Operation::run: return "run";
    case Operation::prepare: return "prepare";
    case Operation::probe: return "probe";
    case Operation::profile: return "profile";
  }
  return "unknown";
}

std::vector<LogField> fields_of(const RequestLog::Origin& origin) {
  std::vector<LogField> fields{{"request_id", origin.request.id}, {"peer", origin.peer}};
  if (!origin.model.empty()) fields.push_back({"model", origin.model});
  fields.push_back({"operation", std::string(name_of(origin.request.request.operation))});
  if (const auto parent = parse_traceparent(origin.request.trace.traceparent)) {
    fields.push_back({"trace_id", parent->trace_id});
  }
  return fields;
}

}  // namespace

void RequestLog::say(LogLevel level, std::string_view message, std::vector<LogField> fields) const {
  if (sink_) sink_({level, message, std::move(fields)});
}

void RequestLog::say(LogLevel level, std::string_view message, const Origin& origin) const {
  if (sink_) sink_({level, message, fields_of(origin)});
}

void RequestLog::answered(const Origin& origin, const Message& reply) const {
  if (!sink_) return;
  auto fields = fields_of(origin);
  for (const auto& [key, step] : {std::pair("queue_s", "queue"), std::pair("run_s", "run")}) {
    const auto found = reply.times_s.find(step);
    if (found != reply.times_s.end()) fields.push_back({key, found->second});
  }
  sink_({LogLevel::debug, "answered", std::move(fields)});
}

/// A fault of this machine is worth a look; what callers do wrong, and what they are asked to do elsewhere, is not
/// ours to mend, and may come as often as requests.
void RequestLog::failed(const Origin& origin, ErrorCode code, std::string_view why) const {
  if (!sink_) return;
  auto fields = fields_of(origin);
  fields.push_back({"code", std::string(to_string(code))});
  const auto level = code == ErrorCode::internal ? LogLevel::error : LogLevel::debug;
  sink_({level, why.substr(0, longest_message), std::move(fields)});
}

}  // namespace splitnet::detail
