// SPDX-License-Identifier: Apache-2.0
// AWS Signature Version 4: "Create a signed AWS API request" in the IAM user guide.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "aws/digest.hpp"
#include "aws/http_client.hpp"
#include "splitnet/aws/credentials.hpp"

namespace splitnet::detail {

/// What is signed of a request.
struct SignedRequest {
  std::string method = "POST";
  std::string path = "/";  ///< As it will be sent: percent-encoded, with a slash in front.
  std::string query = {};  ///< As it will be sent, without the question mark.
  /// All that are sent, "host" among them; names in any case. Those that proxies and services write anew on the way, as
  /// X-Amzn-Trace-Id, are left out of the signature.
  std::vector<HttpHeader> headers = {};
  std::string body_sha256 = sha256_hex({});  ///< As it stands here, of an empty body.
};

/// Whose door it is for, and when.
struct SigningScope {
  std::string region;   ///< "eu-central-1"
  std::string service;  ///< "lambda", "s3", "sqs", "dynamodb"
  std::chrono::system_clock::time_point time;
};

/// The headers to send beside those of `request`: x-amz-date, x-amz-security-token with temporary credentials,
/// x-amz-content-sha256 for S3 (which wants it), and authorization. Throws internal (OpenSSL fails).
std::vector<HttpHeader> sign(const SignedRequest& request, const SigningScope& scope,
                             const AwsCredentials& credentials);

/// The first step, for tests and for errors of a service that shows its own: what both sides hash.
std::string canonical_request(const SignedRequest& request, const SigningScope& scope);

/// RFC 3986: letters, digits and -._~ stand for themselves, and `also_plain`; everything else is %XX, in upper case.
std::string percent_encoded(std::string_view text, std::string_view also_plain = {});

}  // namespace splitnet::detail
