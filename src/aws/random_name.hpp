// SPDX-License-Identifier: Apache-2.0
// Names that nobody else has.
#pragma once

#include <string>

namespace splitnet::detail {

/// 32 hexadecimal digits. Throws internal (OpenSSL has no random numbers).
std::string random_name();

}  // namespace splitnet::detail
