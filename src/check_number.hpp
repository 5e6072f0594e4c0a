// SPDX-License-Identifier: Apache-2.0
// Numbers of values that validate themselves. Private.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet::detail {

/// Throws invalid_argument unless `holds` and `found` is finite.
inline void check_number(bool holds, const std::string& name, double found, const char* expected) {
  if (std::isfinite(found) && holds) return;
  throw Error(ErrorCode::invalid_argument, name + " is " + short_number(found) + ", expected " + expected);
}
inline void check_at_least(const std::string& name, std::size_t found, std::size_t least) {
  if (found >= least) return;
  throw Error(ErrorCode::invalid_argument,
              name + " is " + std::to_string(found) + ", expected at least " + std::to_string(least));
}
inline void check_not_negative(const std::string& name, double found) {
  check_number(found >= 0, name, found, "a finite number, 0 or more");
}
inline void check_positive(const std::string& name, double found) {
  check_number(found > 0, name, found, "a finite number above 0");
}

}  // namespace splitnet::detail
