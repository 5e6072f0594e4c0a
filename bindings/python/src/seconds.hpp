// SPDX-License-Identifier: Apache-2.0
/// \file
/// Durations are seconds in Python, as floats: their names end in `_s`.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "splitnet/error.hpp"

namespace splitnet::python {

inline double to_seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

/// Throws invalid_argument: not a number, or more than 292 years.
inline std::chrono::nanoseconds from_seconds(double seconds) {
  constexpr double longest_s = 9.2e9;
  if (!(std::abs(seconds) < longest_s)) {
    throw Error(ErrorCode::invalid_argument,
                "found a duration of " + std::to_string(seconds) + " s, expected less than 292 years");
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::llround(seconds * 1e9)));
}

inline std::optional<std::chrono::nanoseconds> from_seconds(std::optional<double> seconds) {
  if (!seconds) return std::nullopt;
  return from_seconds(*seconds);
}

}  // namespace splitnet::python
