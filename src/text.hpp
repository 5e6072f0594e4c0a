// SPDX-License-Identifier: Apache-2.0
// Numbers, lists and foreign words for people. Private.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace splitnet::detail {

/// Four significant digits; large numbers without an exponent.
inline std::string short_number(double number) {
  char text[32];
  const bool is_large = number >= 1e4 && number < 1e9;
  std::snprintf(text, sizeof text, is_large ? "%.0f" : "%.4g", number);
  return text;
}

/// Words from outside, fit for a log line and an error message: printable and not longer than a line.
inline std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string result = "\"";
  for (const char c : text.substr(0, longest)) result += c >= ' ' && c < 127 ? c : '?';
  return result + (text.size() > longest ? "…\"" : "\"");
}

/// ASCII letters; names of headers and settings have no others.
inline std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// Without spaces and ends of lines around it.
inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(spaces), text.size()));
  return text.substr(0, text.find_last_not_of(spaces) + 1);
}

/// "a, b, c".
inline std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace splitnet::detail
