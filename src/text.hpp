// SPDX-License-Identifier: Apache-2.0
// Numbers for people. Private.
#pragma once

#include <cstdio>
#include <string>

namespace splitnet::detail {

/// Four significant digits.
inline std::string short_number(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", number);
  return text;
}

}  // namespace splitnet::detail
