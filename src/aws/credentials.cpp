// SPDX-License-Identifier: Apache-2.0
#include "splitnet/aws/credentials.hpp"

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "aws/environment.hpp"
#include "aws/http_client.hpp"
#include "aws/json.hpp"
#include "aws/timestamp.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using detail::content_of;
using detail::environment;
using detail::HttpHeader;
using SystemClock = std::chrono::system_clock;

/// Before they expire: a request takes a while, and clocks differ.
constexpr auto kRenewBefore = std::chrono::minutes(5);
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

/// Where a container gets its role's credentials; empty: it is none.
std::string container_url() {
  const std::string relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  if (!relative.empty()) return std::string(kContainerHost) + relative;
  const std::string full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  // In clear text only where nobody else listens.
  for (const std::string_view allowed : {"https://", "http://127.", "http://localhost", "http://[::1]",
                                         "http://169.254.170.2/", "http://169.254.170.23/", "http://[fd00:ec2::23]/"}) {
    if (full.substr(0, allowed.size()) == allowed) return full;
  }
  if (!full.empty()) {
    throw Error(ErrorCode::unauthenticated,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither HTTPS nor on this machine, expected one of them");
  }
  return {};
}

std::vector<HttpHeader> container_headers() {
  const std::string file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  std::string token = file.empty() ? environment("AWS_CONTAINER_AUTHORIZATION_TOKEN") : content_of(file);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.find_first_of("\r\n") != std::string::npos)
    throw Error(ErrorCode::unauthenticated, "the container's authorization token has more than one line");
  if (token.empty()) return {};
  return {{"Authorization", std::move(token)}};
}

AwsCredentials from_container(detail::HttpClient& client, const std::string& url) {
  const std::string where = "the container's credentials endpoint";
  const auto reply = client.send_and_wait({.method = "GET", .url = url, .headers = container_headers()},
                                          std::chrono::steady_clock::now() + kContainerTimeout);
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
class DefaultCredentials {
 public:
  AwsCredentials get() {
    const std::lock_guard lock(mutex_);
    if (!found_ || (found_->expires_at && *found_->expires_at - kRenewBefore <= SystemClock::now())) found_ = look();
    return *found_;
  }

 private:
  AwsCredentials look() {
    if (auto found = from_environment()) return *std::move(found);
    if (auto found = from_profile()) return *std::move(found);
    const std::string url = container_url();
    if (url.empty()) {
      throw Error(
          ErrorCode::unauthenticated,
          "no AWS credentials: neither in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), nor in '" +
              path_of_profiles() + "', nor from a container's endpoint");
    }
    if (!client_) client_ = std::make_unique<detail::HttpClient>();
    return from_container(*client_, url);
  }

  std::mutex mutex_;
  std::optional<AwsCredentials> found_;
  std::unique_ptr<detail::HttpClient> client_;
};

}  // namespace

void AwsCredentials::validate(const std::string& where) const {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::unauthenticated, "AWS credentials from " + where + ": " + what);
  };
  if (access_key_id.empty()) refuse("there is no access key id");
  if (secret_access_key.empty()) refuse("there is no secret access key");
  if (expires_at && *expires_at <= SystemClock::now()) refuse("they have expired");
}

AwsCredentialsProvider fixed_aws_credentials(AwsCredentials credentials) {
  return [credentials = std::move(credentials)] {
    credentials.validate("the program");
    return credentials;
  };
}

AwsCredentialsProvider default_aws_credentials() {
  return [all = std::make_shared<DefaultCredentials>()] { return all->get(); };
}

}  // namespace splitnet
