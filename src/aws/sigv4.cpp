// SPDX-License-Identifier: Apache-2.0
#include "aws/sigv4.hpp"

#include <algorithm>
#include <map>

#include "aws/timestamp.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

/// Without spaces around it, and with one where there are several.
std::string collapsed(std::string_view value) {
  std::string result;
  for (const char c : value) {
    const bool is_space = c == ' ' || c == '\t' || c == '\n';
    if (!is_space) {
      result += c;
    } else if (!result.empty() && result.back() != ' ') {
      result += ' ';
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// Dots and empty segments resolved (RFC 3986, 5.2.4).
std::string normalized(std::string_view path) {
  std::vector<std::string> segments;
  for (std::string& segment : split(path, '/')) {
    if (segment == "..") {
      if (!segments.empty()) segments.pop_back();
    } else if (!segment.empty() && segment != ".") {
      segments.push_back(std::move(segment));
    }
  }
  std::string result;
  for (const std::string& segment : segments) result += '/' + segment;
  if (result.empty() || path.back() == '/') result += '/';
  return result;
}

/// S3 signs paths as they are sent; all others resolve them and encode what is encoded once more.
std::string canonical_path(const std::string& path, const std::string& service) {
  if (service == "s3") return path;
  return percent_encoded(normalized(path), "/");
}

std::string canonical_query(std::string_view query) {
  if (query.empty()) return {};
  std::vector<std::pair<std::string, std::string>> parameters;
  for (const std::string& part : split(query, '&')) {
    const auto equals = part.find('=');
    parameters.emplace_back(percent_encoded(part.substr(0, equals), "%"),
                            equals == std::string::npos ? "" : percent_encoded(part.substr(equals + 1), "%"));
  }
  std::sort(parameters.begin(), parameters.end());
  std::string result;
  for (const auto& [name, value] : parameters) {
    if (!result.empty()) result += '&';
    result += name + '=' + value;
  }
  return result;
}

/// Also on the list of botocore.
bool may_change_on_the_way(std::string_view name) {
  return name == "expect" || name == "transfer-encoding" || name == "user-agent" || name == "x-amzn-trace-id";
}

/// By name in lower case, in order; values of one name joined by commas.
std::map<std::string, std::string> canonical_headers(const std::vector<HttpHeader>& headers) {
  std::map<std::string, std::string> result;
  for (const auto& [any_case, value] : headers) {
    const std::string name = in_lower_case(any_case);
    if (may_change_on_the_way(name)) continue;
    auto [place, is_new] = result.try_emplace(name, collapsed(value));
    if (!is_new) place->second += ',' + collapsed(value);
  }
  return result;
}

std::string signed_names(const std::map<std::string, std::string>& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

std::string credential_scope(const std::string& date, const SigningScope& scope) {
  return date + '/' + scope.region + '/' + scope.service + "/aws4_request";
}

std::string signature(const std::string& text, const std::string& date, const SigningScope& scope,
                      const std::string& secret) {
  std::string key = hmac_sha256("AWS4" + secret, date);
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")})
    key = hmac_sha256(key, part);
  return to_hex(hmac_sha256(key, text));
}

}  // namespace

std::string percent_encoded(std::string_view text, std::string_view also_plain) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    if (is_plain(c) || also_plain.find(c) != std::string_view::npos) {
      result += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    result += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return result;
}

std::string canonical_request(const SignedRequest& request, const SigningScope& scope) {
  const auto headers = canonical_headers(request.headers);
  std::string text = request.method + '\n' + canonical_path(request.path, scope.service) + '\n' +
                     canonical_query(request.query) + '\n';
  for (const auto& [name, value] : headers) text += name + ':' + value + '\n';
  return text + '\n' + signed_names(headers) + '\n' + request.body_sha256;
}

std::vector<HttpHeader> sign(const SignedRequest& request, const SigningScope& scope,
                             const AwsCredentials& credentials) {
  const std::string time = compact_time(scope.time);
  const std::string date = time.substr(0, 8);
  std::vector<HttpHeader> added = {{"x-amz-date", time}};
  if (!credentials.session_token.empty()) added.emplace_back("x-amz-security-token", credentials.session_token);
  if (scope.service == "s3") added.emplace_back("x-amz-content-sha256", request.body_sha256);
  SignedRequest whole = request;
  whole.headers.insert(whole.headers.end(), added.begin(), added.end());
  const std::string text = std::string(kAlgorithm) + '\n' + time + '\n' + credential_scope(date, scope) + '\n' +
                           sha256_hex(canonical_request(whole, scope));
  added.emplace_back("authorization", std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + '/' +
                                          credential_scope(date, scope) +
                                          ", SignedHeaders=" + signed_names(canonical_headers(whole.headers)) +
                                          ", Signature=" + signature(text, date, scope, credentials.secret_access_key));
  return added;
}

}  // namespace splitnet::detail
