// SPDX-License-Identifier: Apache-2.0
#include "aws/service_error.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "aws/json.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

/// S3 says it in XML; empty: not there.
std::string_view between(std::string_view text, std::string_view open, std::string_view close) {
  const auto begin = text.find(open);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + open.size());
  const auto end = text.find(close);
  return end == std::string_view::npos ? std::string_view() : text.substr(0, end);
}

bool has_any(std::string_view name, std::initializer_list<std::string_view> words) {
  for (const std::string_view word : words) {
    if (name.find(word) != std::string_view::npos) return true;
  }
  return false;
}

/// Lambda's words, and those of S3.
bool is_of_another_region(std::string_view message) {
  return has_any(message, {"Credential should be scoped to a valid region", "is wrong; expecting"});
}

ErrorCode code_of(int status, std::string_view name, std::string_view message) {
  if (is_of_another_region(message)) return ErrorCode::invalid_argument;
  // "SlowDown" comes as 503, "RequestLimitExceeded" as 400.
  if (status == 429 || has_any(name, {"Throttl", "TooManyRequests", "SlowDown", "LimitExceeded", "OverLimit"})) {
    return ErrorCode::overloaded;
  }
  if (status == 413 || has_any(name, {"TooLarge", "TooLong"})) return ErrorCode::too_large;
  if (status == 401 || status == 403 ||
      has_any(name, {"ExpiredToken", "InvalidToken", "UnrecognizedClient", "Signature", "AuthorizationHeader",
                     "MissingAuthentication", "AccessDenied", "RequestTimeTooSkewed", "RequestExpired"})) {
    return ErrorCode::unauthenticated;
  }
  return status >= 500 ? ErrorCode::unavailable : ErrorCode::invalid_argument;
}

/// What helps.
std::string_view hint_of(std::string_view name, std::string_view message) {
  if (has_any(name, {"ExpiredToken"})) return "; the credentials have expired: get new ones";
  if (has_any(name, {"UnrecognizedClient", "InvalidAccessKeyId", "InvalidClientTokenId"})) {
    return "; the access key is unknown there: are the credentials of another account or endpoint?";
  }
  if (has_any(message, {"Signature expired", "Signature not yet current"}) || has_any(name, {"TimeTooSkewed"})) {
    return "; is this machine's clock right?";
  }
  if (is_of_another_region(message)) return "; is the region (AWS_REGION) that of the endpoint?";
  if (has_any(name, {"SignatureDoesNotMatch", "InvalidSignature"})) {
    return "; are both parts of the access key right?";
  }
  if (has_any(name, {"ResourceNotFound", "NoSuchBucket", "QueueDoesNotExist", "NonExistentQueue"}))
    return "; is it there, in this region and account?";
  return "";
}

std::optional<double> seconds_of(std::string_view text) {
  double seconds = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failed != std::errc() || end != text.data() + text.size() || !(seconds >= 0)) return std::nullopt;
  return seconds;
}

std::string name_of(const HttpReply& reply, const JsonObject& document) {
  std::string_view name = reply.header("x-amzn-errortype");
  if (name.empty()) name = document.text("__type").value_or("");
  if (name.empty()) name = between(reply.body, "<Code>", "</Code>");
  // "com.amazonaws.sqs#Name:http://where.its/documentation"
  if (const auto hash = name.find('#'); hash != std::string_view::npos) name.remove_prefix(hash + 1);
  return std::string(name.substr(0, name.find(':')));
}

}  // namespace

Error service_error(const HttpReply& reply, const std::string& what) {
  const JsonObject document(reply.body);
  const std::string name = name_of(reply, document);
  std::string_view message = document.text("message").value_or("");
  if (message.empty()) message = document.text("Message").value_or("");
  if (message.empty()) message = between(reply.body, "<Message>", "</Message>");
  std::string text = what + ": status " + std::to_string(reply.status);
  if (!name.empty()) text += ", " + name;
  if (!message.empty()) text += ": " + std::string(trimmed(message));
  if (const auto region = reply.header("x-amz-bucket-region"); !region.empty() && reply.status / 100 != 2) {
    text += "; the bucket is in region '" + std::string(region) + "'";
  }
  text += hint_of(name, message);
  return Error(code_of(reply.status, name, message), text, seconds_of(reply.header("retry-after")));
}

std::string service_error_name(const HttpReply& reply) {
  return name_of(reply, JsonObject(reply.body));
}

Error batch_entry_error(std::string_view name, std::string_view message, bool is_fault_of_sender,
                        const std::string& what) {
  std::string text = what + ": " + std::string(name);
  if (!message.empty()) text += ": " + std::string(trimmed(message));
  text += hint_of(name, message);
  return Error(code_of(is_fault_of_sender ? 400 : 500, name, message), text);
}

}  // namespace splitnet::detail
