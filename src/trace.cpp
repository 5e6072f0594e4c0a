// SPDX-License-Identifier: Apache-2.0
#include "splitnet/trace.hpp"

#include <algorithm>
#include <cstdint>
#include <random>

namespace splitnet {
namespace {

// 00-TRACE_ID-SPAN_ID-FLAGS
constexpr std::size_t trace_id_at = 3;
constexpr std::size_t trace_id_digits = 32;
constexpr std::size_t span_id_at = 36;
constexpr std::size_t span_id_digits = 16;
constexpr std::size_t flags_at = 53;
constexpr std::size_t length_of_version_00 = 55;
constexpr std::size_t longest = 512;  // Of either text.

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

/// Nothing that ends a line or a field of a head of HTTP.
bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::string random_id(std::size_t digits) {
  static thread_local std::mt19937_64 random = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  std::string id(digits, '0');
  while (!is_id(id)) {
    for (char& digit : id) digit = "0123456789abcdef"[random() >> 60U];
  }
  return id;
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view text) {
  if (text.size() < length_of_version_00 || text.size() > longest || !is_visible(text) || text[2] != '-' ||
      text[span_id_at - 1] != '-' || text[flags_at - 1] != '-') {
    return std::nullopt;
  }
  const auto version = text.substr(0, 2);
  const auto flags = text.substr(flags_at, 2);
  const bool may_go_on = version != "00" && text.size() > length_of_version_00 && text[length_of_version_00] == '-';
  if (!is_hex(version) || version == "ff" || (text.size() != length_of_version_00 && !may_go_on)) return std::nullopt;
  const auto trace_id = text.substr(trace_id_at, trace_id_digits);
  const auto span_id = text.substr(span_id_at, span_id_digits);
  if (!is_id(trace_id) || !is_id(span_id) || !is_hex(flags)) return std::nullopt;
  const bool is_odd = std::string_view("13579bdf").find(flags[1]) != std::string_view::npos;
  return TraceParent{std::string(trace_id), std::string(span_id), is_odd};
}

std::string to_string(const TraceParent& parent) {
  return "00-" + parent.trace_id + "-" + parent.span_id + (parent.sampled ? "-01" : "-00");
}

bool is_tracestate(std::string_view text) {
  return text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; });
}

TraceContext new_trace(bool sampled) {
  return {to_string(TraceParent{random_id(trace_id_digits), random_id(span_id_digits), sampled}), {}};
}

TraceContext child_of(const TraceContext& context) {
  auto parent = parse_traceparent(context.traceparent);
  if (!parent) throw Error(ErrorCode::invalid_argument, "trace context: not a traceparent of the W3C");
  parent->span_id = random_id(span_id_digits);
  return {to_string(*parent), is_tracestate(context.tracestate) ? context.tracestate : std::string()};
}

}  // namespace splitnet
