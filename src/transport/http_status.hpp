// SPDX-License-Identifier: Apache-2.0
// Which status of HTTP an error has, and the other way round (docs/transports.md has the table). Private.
#pragma once

#include <string_view>

#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Of the response that carries this error.
unsigned status_of(ErrorCode code) noexcept;
/// Of a response that carries no message of ours: one that a proxy made, or another server.
ErrorCode code_of_status(unsigned status) noexcept;
/// "Bad Request"; for people only.
std::string_view reason_of_status(unsigned status) noexcept;

}  // namespace splitnet::detail
