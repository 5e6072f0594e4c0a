// SPDX-License-Identifier: Apache-2.0
// Numbers for people. Private.
#pragma once

#include <cstdio>
#include <string>

namespace splitnet::detail {

/// Four significant digits; large numbers without an exponent.
inline std::string short_number(double number) {
  char text[32];
  const bool is_large = number >= 1e4 && number < 1e9;
  std::snprintf(text, sizeof text, is_large ? "%.0f" : "%.4g", number);
  return text;
}

}  // namespace splitnet::detail
