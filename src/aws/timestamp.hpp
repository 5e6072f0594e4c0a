// SPDX-License-Identifier: Apache-2.0
// Points in time as AWS writes them, in UTC.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace splitnet::detail {

/// "20150830T123600Z", as signatures have it.
std::string compact_time(std::chrono::system_clock::time_point time);
/// Of "2015-08-30T12:36:00Z", fractions of a second left out; nothing when it is none.
std::optional<std::chrono::system_clock::time_point> time_of_iso8601(const std::string& text);
/// Of a Date header of HTTP, "Sun, 06 Nov 1994 08:49:37 GMT"; nothing when it is none.
std::optional<std::chrono::system_clock::time_point> time_of_http(const std::string& text);

}  // namespace splitnet::detail
