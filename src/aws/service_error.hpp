// SPDX-License-Identifier: Apache-2.0
// What a service of AWS says when it does not do what was asked.
#pragma once

#include <string>
#include <string_view>

#include "aws/http_client.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Of a reply whose status is not 2xx. `what`: what was asked, of whom.
/// overloaded (429, throttled, with Retry-After), too_large (413), unauthenticated (credentials, signature, rights),
/// unavailable (5xx), invalid_argument (everything else of 3xx and 4xx: wrong name, region, bucket).
Error service_error(const HttpReply& reply, const std::string& what);
/// The service's own name for it, "ResourceNotFoundException" or "NoSuchBucket"; empty: it gives none.
std::string service_error_name(const HttpReply& reply);
/// Of one entry of a batch that failed, as service_error.
Error batch_entry_error(std::string_view name, std::string_view message, bool is_fault_of_sender,
                        const std::string& what);

}  // namespace splitnet::detail
