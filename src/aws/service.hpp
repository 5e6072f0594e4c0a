// SPDX-License-Identifier: Apache-2.0
// Signed requests to one service of AWS.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "aws/http_client.hpp"
#include "splitnet/aws/options.hpp"

namespace splitnet::detail {

struct ServiceRequest {
  std::string method = "POST";
  std::string host_prefix = {};  ///< "bucket.", in front of the service's own host; only where it has one.
  std::string path = "/";        ///< Percent-encoded.
  std::string query = {};        ///< Percent-encoded, without the question mark.
  std::vector<HttpHeader> headers = {};
  std::shared_ptr<const std::string> body = {};
  std::size_t max_reply_bytes = std::size_t{64} << 20;
  std::chrono::seconds stall_timeout{0};  ///< HttpRequest::stall_timeout.
};

/// Thread-safe.
class AwsService : public std::enable_shared_from_this<AwsService> {
 public:
  /// `name`: "lambda", "s3". Throws invalid_argument: no region, an endpoint that is no URL of a host.
  AwsService(std::string name, const AwsOptions& options,
             std::chrono::nanoseconds dead_peer_timeout = HttpClientOptions{}.dead_peer_timeout);

  /// As HttpClient::send, with the errors of the credentials' provider too (internal for what it throws besides); those
  /// come on the caller's thread. A reply
  /// that finds fault with the time of a request has it sent once more, by the service's clock, and so are those after
  /// it.
  void send(ServiceRequest request, Deadline deadline, std::stop_token stop, HttpClient::Done done);

  [[nodiscard]] SpareTexts& texts() noexcept { return client_.texts(); }
  /// An endpoint was given: it is not AWS itself.
  [[nodiscard]] bool is_elsewhere() const noexcept { return is_elsewhere_; }
  [[nodiscard]] bool is_encrypted() const noexcept { return scheme_ == "https://"; }
  /// "lambda in eu-central-1 (https://lambda.eu-central-1.amazonaws.com)", for errors.
  [[nodiscard]] std::string where() const { return name_ + " in " + region_ + " (" + scheme_ + host_ + ")"; }

 private:
  /// Megabytes are hashed once, however often they are sent.
  struct Hashed {
    ServiceRequest request;
    std::string body_sha256;
  };
  void send_once(const std::shared_ptr<const Hashed>& hashed, Deadline deadline, std::stop_token stop,
                 const HttpClient::Done& done);
  [[nodiscard]] HttpRequest signed_request(const Hashed& hashed) const;
  bool learns_the_time(const HttpReply& reply);

  const std::string name_;
  const std::string region_;
  const AwsCredentialsProvider credentials_;
  std::string scheme_;
  std::string host_;
  std::string base_path_;
  bool is_elsewhere_ = false;
  std::atomic<std::chrono::seconds::rep> clock_ahead_s_{0};  // Of the service's clock.
  HttpClient client_;                                        // The last: its end runs completions.
};

}  // namespace splitnet::detail
