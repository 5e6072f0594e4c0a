// SPDX-License-Identifier: Apache-2.0
#include "shaped_endpoint.hpp"

#include <charconv>
#include <cmath>
#include <set>
#include <string_view>
#include <system_error>

#include "check_number.hpp"

namespace splitnet {
namespace {

constexpr std::string_view kScheme = "shaped://";

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "shaped options: " + what);
}
[[noreturn]] void refuse(std::string_view key, std::string_view found, const std::string& expected) {
  refuse(std::string(key) + ": found '" + std::string(found) + "', expected " + expected);
}

// ---- Values of keys.

struct Unit {
  std::string_view name;
  double factor;
};
constexpr Unit kBandwidths[] = {{"bit", 0.125}, {"kbit", 125}, {"Mbit", 125e3}, {"Gbit", 125e6}};
constexpr Unit kTimes[] = {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}};

/// A number at the start of `text`, which then holds what stands behind it.
template <class Number>
bool take_number(std::string_view& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc();
}

template <std::size_t count>
double with_unit(std::string_view key, std::string_view text, const Unit (&units)[count]) {
  double number = 0;
  auto rest = text;
  std::string names;
  const bool is_number = take_number(rest, number) && std::isfinite(number);
  for (const auto& unit : units) {
    if (is_number && rest == unit.name) return number * unit.factor;
    names += (names.empty() ? "" : ", ") + std::string(unit.name);
  }
  refuse(key, text, "a number and one of: " + names);
}

double bandwidth(std::string_view key, std::string_view text) {
  return with_unit(key, text, kBandwidths);
}
double time(std::string_view key, std::string_view text) {
  return with_unit(key, text, kTimes);
}

template <class Number>
Number plain(std::string_view key, std::string_view text, const char* expected) {
  Number number = 0;
  auto rest = text;
  if (!take_number(rest, number) || !rest.empty()) refuse(key, text, expected);
  return number;
}

/// Whoever connects can do nothing else about a bad file than about a bad word: name another.
LinkTrace trace(std::string_view key, std::string_view path) {
  try {
    return read_link_trace(std::string(path));
  } catch (const Error& error) {
    refuse(std::string(key) + ": " + error.what());
  }
}

// ---- Keys.

struct Key {
  std::string_view name;
  void (*read)(std::string_view key, std::string_view value, ShapedOptions& options);
};
constexpr Key kKeys[] = {
    {"up", [](auto key, auto value, auto& options) { options.up_bytes_per_s = bandwidth(key, value); }},
    {"down", [](auto key, auto value, auto& options) { options.down_bytes_per_s = bandwidth(key, value); }},
    {"up_trace", [](auto key, auto value, auto& options) { options.up_trace = trace(key, value); }},
    {"down_trace", [](auto key, auto value, auto& options) { options.down_trace = trace(key, value); }},
    {"delay", [](auto key, auto value, auto& options) { options.delay_s = time(key, value); }},
    {"jitter", [](auto key, auto value, auto& options) { options.jitter_s = time(key, value); }},
    {"loss",
     [](auto key, auto value, auto& options) { options.loss = plain<double>(key, value, "a number from 0 to 1"); }},
    {"seed", [](auto key, auto value,
                auto& options) { options.seed = plain<std::uint64_t>(key, value, "an integer from 0 to 2^64-1"); }},
};

const Key& find_key(std::string_view name) {
  std::string known;
  for (const auto& key : kKeys) {
    if (key.name == name) return key;
    known += (known.empty() ? "" : ", ") + std::string(key.name);
  }
  refuse("the key '" + std::string(name) + "' is unknown; expected one of: " + known);
}

void check_direction(const std::string& name, const std::optional<double>& bytes_per_s,
                     const std::optional<LinkTrace>& trace) {
  if (bytes_per_s && trace) refuse(name + "_bytes_per_s and " + name + "_trace are both given, expected one of them");
  if (bytes_per_s) detail::check_positive("shaped options: " + name + "_bytes_per_s", *bytes_per_s);
  if (trace) trace->validate();
}

}  // namespace

void ShapedOptions::validate() const {
  check_direction("up", up_bytes_per_s, up_trace);
  check_direction("down", down_bytes_per_s, down_trace);
  detail::check_not_negative("shaped options: delay_s", delay_s);
  detail::check_not_negative("shaped options: jitter_s", jitter_s);
  detail::check_number(loss >= 0 && loss <= 1, "shaped options: loss", loss, "a probability, from 0 to 1");
}

ShapedOptions parse_shaped_options(const std::string& text) {
  ShapedOptions options;
  std::set<std::string_view> seen;
  for (std::string_view rest = text; !rest.empty();) {
    const auto comma = rest.find(',');
    const auto item = rest.substr(0, comma);
    const auto equals = item.find('=');
    if (equals == std::string_view::npos) refuse("found '" + std::string(item) + "', expected KEY=VALUE");
    const auto& key = find_key(item.substr(0, equals));
    if (!seen.insert(key.name).second) refuse(std::string(key.name) + " is given twice, expected once");
    key.read(key.name, item.substr(equals + 1), options);
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
    if (rest.empty()) refuse("found ',' at the end, expected KEY=VALUE behind it");
  }
  options.validate();
  return options;
}

detail::ShapedEndpoint detail::parse_shaped_endpoint(const std::string& text) {
  const auto at = text.find('@');
  if (!text.starts_with(kScheme) || at == std::string::npos) {
    throw Error(
        ErrorCode::invalid_argument,
        "endpoint '" + text +
            "': expected shaped://OPTIONS@INNER, for example shaped://up=10Mbit,delay=20ms@tcp://127.0.0.1:7070");
  }
  try {
    auto options = parse_shaped_options(text.substr(kScheme.size(), at - kScheme.size()));
    return {text.substr(0, at + 1), std::move(options), text.substr(at + 1)};
  } catch (const Error& error) {
    throw Error(error.code(), "endpoint '" + text + "': " + error.what());
  }
}

}  // namespace splitnet
