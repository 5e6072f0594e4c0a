// SPDX-License-Identifier: Apache-2.0
// What a service of AWS says when it does not do what was asked.
#pragma once

#include <string>

#include "aws/http_client.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Of a reply whose status is not 2xx. `what`: what was asked, of whom.
/// overloaded (429, throttled, with Retry-After), too_large (413), unauthenticated (credentials, signature, rights),
/// unavailable (5xx), invalid_argument (everything else of 3xx and 4xx: wrong name, region, bucket).
Error service_error(const HttpReply& reply, const std::string& what);

}  // namespace splitnet::detail
