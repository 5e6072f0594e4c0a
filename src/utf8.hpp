// SPDX-License-Identifier: Apache-2.0
// Text from outside, made fit to be shown. Private.
#pragma once

#include <string>
#include <string_view>

namespace splitnet::detail {

/// Each sequence of bytes that is no UTF-8 (RFC 3629) is replaced by U+FFFD.
std::string valid_utf8(std::string_view text);
/// Likewise, and whatever could end a line or steer a terminal (U+0000 … 1F, 7F … 9F, 2028, 2029) by '?'.
std::string one_line(std::string_view text);

}  // namespace splitnet::detail
