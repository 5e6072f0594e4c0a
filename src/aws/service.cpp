// SPDX-License-Identifier: Apache-2.0
#include "aws/service.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <utility>

#include "aws/environment.hpp"
#include "aws/sigv4.hpp"
#include "aws/thrown_error.hpp"
#include "aws/timestamp.hpp"

namespace splitnet::detail {
namespace {

using SystemClock = std::chrono::system_clock;

/// Services allow five minutes, S3 fifteen.
constexpr auto kTellsClocksApart = std::chrono::minutes(1);

std::string region_of(const AwsOptions& options) {
  std::string region = options.region;
  if (region.empty()) region = environment({"AWS_REGION", "AWS_DEFAULT_REGION"});
  if (region.empty()) region = settings_in(path_of_settings("AWS_CONFIG_FILE", "config"))["region"];
  if (region.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "no AWS region: neither in the options, nor in AWS_REGION, nor in the profile '" + profile_name() +
                    "'; expected for example eu-central-1");
  }
  const auto may_have = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; };
  if (std::all_of(region.begin(), region.end(), may_have)) return region;
  throw Error(ErrorCode::invalid_argument, "AWS region '" + region + "': expected for example eu-central-1");
}

/// Empty: AWS's own.
std::string endpoint_of(const AwsOptions& options, std::string service) {
  if (!options.endpoint.empty()) return options.endpoint;
  std::transform(service.begin(), service.end(), service.begin(), [](unsigned char c) { return std::toupper(c); });
  return environment({("AWS_ENDPOINT_URL_" + service).c_str(), "AWS_ENDPOINT_URL"});
}

}  // namespace

AwsService::AwsService(std::string name, const AwsOptions& options, std::chrono::nanoseconds dead_peer_timeout)
    : name_(std::move(name)),
      region_(region_of(options)),
      credentials_(options.credentials),
      client_(HttpClientOptions{.ca_file = options.ca_file, .dead_peer_timeout = dead_peer_timeout}) {
  std::string endpoint = endpoint_of(options, name_);
  is_elsewhere_ = !endpoint.empty();
  if (!is_elsewhere_) endpoint = "https://" + name_ + "." + region_ + ".amazonaws.com";
  const auto host_begin = endpoint.find("://") + 3;
  scheme_ = endpoint.substr(0, host_begin);
  if (endpoint.find("://") == std::string::npos || (scheme_ != "http://" && scheme_ != "https://") ||
      endpoint.size() == host_begin || endpoint.find_first_of("?#@ \r\n") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument,
                "AWS endpoint '" + endpoint + "': expected http://host:port or https://host");
  }
  const auto host_end = std::min(endpoint.find('/', host_begin), endpoint.size());
  host_ = endpoint.substr(host_begin, host_end - host_begin);
  base_path_ = endpoint.substr(host_end);
  if (!base_path_.empty() && base_path_.back() == '/') base_path_.pop_back();
}

void AwsService::send(ServiceRequest request, Deadline deadline, std::stop_token stop, HttpClient::Done done) {
  auto sha256 = sha256_hex(request.body ? *request.body : std::string_view());
  const auto hashed = std::make_shared<const Hashed>(Hashed{std::move(request), std::move(sha256)});
  send_once(hashed, deadline, stop, [weak = weak_from_this(), hashed, deadline, stop, done](HttpClient::Result result) {
    const auto* const reply = std::get_if<HttpReply>(&result);
    const auto self = weak.lock();
    if (reply == nullptr || !self || !self->learns_the_time(*reply)) return done(std::move(result));
    self->send_once(hashed, deadline, stop, done);
  });
}

/// True: it should be asked again.
bool AwsService::learns_the_time(const HttpReply& reply) {
  if (reply.status != 400 && reply.status != 403) return false;
  const auto theirs = time_of_http(std::string(reply.header("date")));
  if (!theirs) return false;
  const auto ahead = std::chrono::round<std::chrono::seconds>(*theirs - SystemClock::now()).count();
  if (std::abs(ahead - clock_ahead_s_.load()) < std::chrono::seconds(kTellsClocksApart).count()) return false;
  clock_ahead_s_ = ahead;
  return true;
}

HttpRequest AwsService::signed_request(const Hashed& hashed) const {
  const ServiceRequest& request = hashed.request;
  const std::string host = request.host_prefix + host_;
  SignedRequest to_sign = {request.method, base_path_ + request.path, request.query, request.headers,
                           hashed.body_sha256};
  to_sign.headers.emplace_back("host", host);
  const auto now = SystemClock::now() + std::chrono::seconds(clock_ahead_s_.load());
  auto signature = sign(to_sign, {region_, name_, now}, credentials_());
  HttpRequest sent = {.method = request.method,
                      .url = scheme_ + host + to_sign.path,
                      .headers = std::move(to_sign.headers),
                      .body = request.body,
                      .max_reply_bytes = request.max_reply_bytes,
                      .stall_timeout = request.stall_timeout};
  if (!request.query.empty()) sent.url += "?" + request.query;
  std::move(signature.begin(), signature.end(), std::back_inserter(sent.headers));
  return sent;
}

void AwsService::send_once(const std::shared_ptr<const Hashed>& hashed, Deadline deadline, std::stop_token stop,
                           const HttpClient::Done& done) {
  try {
    client_.send(signed_request(*hashed), deadline, std::move(stop), done);
  } catch (...) {  // The provider of credentials may be anybody's, and throw anything.
    done(thrown_error("a request to " + where()));
  }
}

}  // namespace splitnet::detail
