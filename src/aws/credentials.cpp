// SPDX-License-Identifier: Apache-2.0
#include "splitnet/aws/credentials.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "aws/environment.hpp"
#include "aws/http_client.hpp"
#include "aws/json.hpp"
#include "aws/renewed_credentials.hpp"
#include "aws/timestamp.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

using detail::content_of;
using detail::environment;
using detail::HttpHeader;
using SystemClock = std::chrono::system_clock;

constexpr auto kContainerTimeout = std::chrono::seconds(5);
constexpr std::string_view kContainerHost = "http://169.254.170.2";

std::optional<AwsCredentials> from_environment() {
  AwsCredentials found = {environment("AWS_ACCESS_KEY_ID"), environment("AWS_SECRET_ACCESS_KEY"),
                          environment("AWS_SESSION_TOKEN")};
  if (found.access_key_id.empty() && found.secret_access_key.empty()) return std::nullopt;
  found.validate("the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)");
  return found;
}

std::string path_of_profiles() {
  return detail::path_of_settings("AWS_SHARED_CREDENTIALS_FILE", "credentials");
}

std::optional<AwsCredentials> from_profile() {
  const std::string path = path_of_profiles();
  auto settings = detail::settings_in(path);
  AwsCredentials found = {settings["aws_access_key_id"], settings["aws_secret_access_key"],
                          settings["aws_session_token"]};
  const std::string where = "profile '" + detail::profile_name() + "' of '" + path + "'";
  if (found.access_key_id.empty() && found.secret_access_key.empty()) {
    if (environment("AWS_PROFILE").empty()) return std::nullopt;
    throw Error(ErrorCode::unauthenticated, where + ", which AWS_PROFILE names, has no credentials");
  }
  found.validate(where);
  return found;
}

/// In lower case; empty: it has none.
std::string part_of_url(const std::string& url, CURLUPart part) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  char* text = nullptr;
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), part, &text, 0) != CURLUE_OK) {
    return {};
  }
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
  return detail::in_lower_case(text);
}

/// Whom credentials may be asked for: in clear text only where nobody else listens, this machine and the link-local
/// addresses of ECS and EKS.
bool may_give_credentials(const std::string& url) {
  const std::string scheme = part_of_url(url, CURLUPART_SCHEME);
  const std::string host = part_of_url(url, CURLUPART_HOST);
  if (scheme == "https") return !host.empty();
  if (scheme != "http") return false;
  in_addr address{};
  if (::inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127) return true;
  constexpr std::string_view known[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
  return std::find(std::begin(known), std::end(known), host) != std::end(known);
}

/// Where a container gets its role's credentials; empty: it is none.
std::string container_url() {
  const std::string relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  if (!relative.empty()) {
    if (relative.front() == '/') return std::string(kContainerHost) + relative;
    throw Error(ErrorCode::unauthenticated,
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash, as it should");
  }
  const std::string full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (full.empty() || may_give_credentials(full)) return full;
  throw Error(ErrorCode::unauthenticated,
              "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither HTTPS nor on this machine, expected one of them");
}

/// What goes into headers of requests must not begin one of its own.
bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 127; });
}

std::vector<HttpHeader> container_headers() {
  constexpr const char* variable = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
  const std::string file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  const std::string text = file.empty() ? environment(variable) : content_of(file);
  std::string token(detail::trimmed(text));
  const std::string where =
      file.empty() ? std::string(variable) : "the file '" + file + "', which " + variable + "_FILE names,";
  if (!file.empty() && token.empty()) {
    throw Error(ErrorCode::unauthenticated, where + " has no token, or can't be read");
  }
  if (!is_printable(token)) {
    throw Error(ErrorCode::unauthenticated, where + " has other characters than printable ones, expected one line");
  }
  if (token.empty()) return {};
  return {{"Authorization", std::move(token)}};
}

detail::HttpReply reply_of(const std::string& url, const std::string& where) {
  detail::HttpClient client({.uses_proxies = false});
  try {
    return client.send_and_wait({.method = "GET", .url = url, .headers = container_headers()},
                                std::chrono::steady_clock::now() + kContainerTimeout);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded) throw;
    throw Error(ErrorCode::unavailable,
                where + " has not answered for " + std::to_string(kContainerTimeout.count()) + " s");
  }
}

AwsCredentials from_container(const std::string& url) {
  const std::string where = "the container's credentials endpoint";
  const auto reply = reply_of(url, where);
  if (reply.status != 200)
    throw Error(ErrorCode::unauthenticated, where + " answered with status " + std::to_string(reply.status));
  const detail::JsonObject document(reply.body);
  const auto text = [&](const char* name) { return std::string(document.text(name).value_or("")); };
  AwsCredentials found = {text("AccessKeyId"), text("SecretAccessKey"), text("Token"),
                          detail::time_of_iso8601(text("Expiration"))};
  found.validate(where);
  return found;
}

/// The places in turn.
AwsCredentials look() {
  if (auto found = from_environment()) return *std::move(found);
  if (auto found = from_profile()) return *std::move(found);
  const std::string url = container_url();
  if (!url.empty()) return from_container(url);
  throw Error(ErrorCode::unauthenticated,
              "no AWS credentials: neither in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), nor in '" +
                  path_of_profiles() + "', nor from a container's endpoint");
}

}  // namespace

void AwsCredentials::validate(const std::string& where) const {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::unauthenticated, "AWS credentials from " + where + ": " + what);
  };
  if (access_key_id.empty()) refuse("there is no access key id");
  if (secret_access_key.empty()) refuse("there is no secret access key");
  const auto check = [&](const std::string& part, const char* name) {
    if (!is_printable(part)) refuse(std::string(name) + " has other characters than printable ones");
  };
  check(access_key_id, "the access key id");
  check(secret_access_key, "the secret access key");
  check(session_token, "the session token");
  if (expires_at && *expires_at <= SystemClock::now()) refuse("they have expired");
}

AwsCredentialsProvider fixed_aws_credentials(AwsCredentials credentials) {
  return [credentials = std::move(credentials)] {
    credentials.validate("the program");
    return credentials;
  };
}

AwsCredentialsProvider default_aws_credentials() {
  return [all = std::make_shared<detail::RenewedCredentials>(&look, &SystemClock::now)] { return all->get(); };
}

}  // namespace splitnet
