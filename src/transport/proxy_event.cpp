// SPDX-License-Identifier: Apache-2.0
#include "proxy_event.hpp"

#include "aws/base64.hpp"
#include "aws/invocation.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

/// The first of these that is there.
std::string first_of(const JsonObject& event, std::initializer_list<const char*> pointers) {
  for (const char* const pointer : pointers) {
    if (const auto found = event.text(pointer)) return std::string(*found);
  }
  return {};
}

Storage body_of(const JsonObject& event, BufferPool& pool) {
  const auto body = event.text("body").value_or("");
  if (!event.is_true("isBase64Encoded")) return stored(body, pool);
  if (auto bytes = decode_base64(body, pool)) return *std::move(bytes);
  throw Error(ErrorCode::corrupt, "proxy event: its body is not base64");
}

}  // namespace

std::optional<ProxyEvent> read_proxy_event(const JsonObject& event, BufferPool& pool) {
  ProxyEvent found;
  found.method = first_of(event, {"requestContext/http/method", "httpMethod"});
  if (found.method.empty()) return std::nullopt;
  // Version 2.0 has the names of fields in lower case, 1.0 as they came.
  found.authorization = first_of(event, {"headers/authorization", "headers/Authorization"});
  // Of a function URL or an HTTP API, of a REST API; null where IAM was not asked.
  found.is_signed =
      !first_of(event, {"requestContext/authorizer/iam/accessKey", "requestContext/identity/accessKey"}).empty();
  found.peer = first_of(event, {"requestContext/http/sourceIp", "requestContext/identity/sourceIp"});
  found.body = body_of(event, pool);
  return found;
}

std::string proxy_response(unsigned status, const std::string& base64) {
  std::string text;
  text.reserve(base64.size() + 200);
  text += R"({"statusCode":)" + std::to_string(status) +
          R"(,"headers":{"content-type":"application/octet-stream"},"isBase64Encoded":true,"body":")";
  text += base64;
  text += R"("})";
  return text;
}

}  // namespace splitnet::detail
