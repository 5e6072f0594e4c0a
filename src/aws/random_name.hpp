// SPDX-License-Identifier: Apache-2.0
// Names that nobody else has.
#pragma once

#include <string>
#include <string_view>

namespace splitnet::detail {

/// 32 hexadecimal digits. Throws internal (OpenSSL has no random numbers).
std::string random_name();
/// It has the form of one.
bool is_random_name(std::string_view text);

}  // namespace splitnet::detail
