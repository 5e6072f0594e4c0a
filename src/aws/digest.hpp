// SPDX-License-Identifier: Apache-2.0
// SHA-256 and what is made of it, by OpenSSL.
#pragma once

#include <string>
#include <string_view>

namespace splitnet::detail {

/// 64 hexadecimal digits in lower case. Throws internal (OpenSSL fails).
std::string sha256_hex(std::string_view data);
/// 32 bytes: HMAC-SHA-256 (RFC 2104). Throws internal.
std::string hmac_sha256(std::string_view key, std::string_view data);
std::string to_hex(std::string_view bytes);

}  // namespace splitnet::detail
