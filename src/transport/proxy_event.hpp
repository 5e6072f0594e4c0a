// SPDX-License-Identifier: Apache-2.0
// Events of function URLs and API Gateway: an HTTP request as JSON, and its response ("Working with AWS Lambda proxy
// integrations", payload formats 1.0 and 2.0).
#pragma once

#include <optional>
#include <string>

#include "aws/json.hpp"
#include "buffer_pool.hpp"
#include "splitnet/tensor.hpp"

namespace splitnet::detail {

struct ProxyEvent {
  std::string method;
  std::string authorization;  ///< The field of the request; empty: it has none.
  bool is_signed = false;     ///< IAM has let the caller in: the field is its signature.
  std::string peer;           ///< The caller's address.
  Storage body;
};

/// Nothing: it is no such event. Throws corrupt: a body that is not base64 though it says so.
std::optional<ProxyEvent> read_proxy_event(const JsonObject& event, BufferPool& pool);

/// `base64`: the body.
std::string proxy_response(unsigned status, const std::string& base64);

}  // namespace splitnet::detail
