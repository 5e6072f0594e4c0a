// SPDX-License-Identifier: Apache-2.0
// Numbers and lists for people. Private.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace splitnet::detail {

/// Four significant digits; large numbers without an exponent.
inline std::string short_number(double number) {
  char text[32];
  const bool is_large = number >= 1e4 && number < 1e9;
  std::snprintf(text, sizeof text, is_large ? "%.0f" : "%.4g", number);
  return text;
}

/// "a, b, c".
inline std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace splitnet::detail
