// SPDX-License-Identifier: Apache-2.0
#include "aws/xray.hpp"

#include <algorithm>

namespace splitnet::detail {
namespace {

constexpr std::size_t kTimeDigits = 8;

}  // namespace

std::string to_xray(const TraceParent& parent) {
  return "Root=1-" + parent.trace_id.substr(0, kTimeDigits) + "-" + parent.trace_id.substr(kTimeDigits) +
         ";Parent=" + parent.span_id + ";Sampled=" + (parent.sampled ? "1" : "0");
}

std::optional<TraceParent> parse_xray(std::string_view text) {
  TraceParent found;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(';'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    if (part.starts_with("Root=1-") && part.size() > 7 + kTimeDigits && part[7 + kTimeDigits] == '-') {
      found.trace_id = std::string(part.substr(7, kTimeDigits)) + std::string(part.substr(8 + kTimeDigits));
    } else if (part.starts_with("Parent=")) {
      found.span_id = part.substr(7);
    } else if (part == "Sampled=1") {
      found.sampled = true;
    }
  }
  return parse_traceparent(to_string(found));
}

}  // namespace splitnet::detail
