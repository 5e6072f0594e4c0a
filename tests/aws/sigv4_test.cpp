// SPDX-License-Identifier: Apache-2.0
#include "aws/sigv4.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "sigv4_vectors.hpp"

namespace splitnet::detail {
namespace {

using namespace std::chrono_literals;

AwsCredentials example_credentials(std::string session_token = {}) {
  return {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", std::move(session_token)};
}

/// 2015-08-30 12:36:00 UTC.
SigningScope example_scope(std::string service = "service") {
  return {"us-east-1", std::move(service), std::chrono::system_clock::time_point(1440938160s)};
}

std::string value_of(const std::vector<HttpHeader>& headers, const std::string& name) {
  for (const auto& [known, value] : headers) {
    if (known == name) return value;
  }
  return "none";
}

std::string signature_in(const std::vector<HttpHeader>& headers) {
  const std::string authorization = value_of(headers, "authorization");
  return authorization.substr(authorization.find("Signature=") + 10);
}

TEST(SigV4, GivesThePublishedSignatures) {
  ASSERT_GE(testing::published_signatures().size(), 30U);
  for (const auto& [name, request, signature] : testing::published_signatures()) {
    EXPECT_EQ(signature_in(sign(request, example_scope(), example_credentials())), signature)
        << name << "\n"
        << canonical_request(request, example_scope());
  }
}

TEST(SigV4, SignsTheTokenOfTemporaryCredentials) {
  const std::string token =
      "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
      "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
      "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/"
      "oLxBA==";
  const SignedRequest request = {.headers = {{"Host", "example.amazonaws.com"}}};
  const auto headers = sign(request, example_scope(), example_credentials(token));
  EXPECT_EQ(value_of(headers, "x-amz-security-token"), token);
  EXPECT_EQ(signature_in(headers), "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
}

/// Proxies and the services themselves write these anew on the way.
TEST(SigV4, LeavesOutWhatMayChangeOnTheWay) {
  const SignedRequest plain = {.headers = {{"host", "h"}}};
  SignedRequest more = plain;
  for (const char* name : {"X-Amzn-Trace-Id", "User-Agent", "Expect", "Transfer-Encoding"}) {
    more.headers.emplace_back(name, "x");
  }
  EXPECT_EQ(canonical_request(more, example_scope("lambda")), canonical_request(plain, example_scope("lambda")));
}

TEST(SigV4, NeverShowsTheSecret) {
  for (const auto& [name, value] : sign({}, example_scope(), example_credentials()))
    EXPECT_EQ(value.find("wJalr"), std::string::npos) << name;
}

/// From "Authenticating Requests: Using the Authorization Header" of the S3 API reference: GET object with a range.
TEST(SigV4, SignsForS3AsItsReferenceShows) {
  const SignedRequest request = {.method = "GET",
                                 .path = "/test.txt",
                                 .headers = {{"host", "examplebucket.s3.amazonaws.com"}, {"range", "bytes=0-9"}}};
  const SigningScope scope = {"us-east-1", "s3", std::chrono::system_clock::time_point(1369353600s)};
  const AwsCredentials credentials = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
  const auto headers = sign(request, scope, credentials);
  EXPECT_EQ(value_of(headers, "x-amz-content-sha256"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(signature_in(headers), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(SigV4, EncodesPathsOnceForS3AndTwiceForOthers) {
  const SignedRequest request = {.path = "/a%20b/../c", .headers = {{"host", "h"}}};
  EXPECT_EQ(canonical_request(request, example_scope("s3")).substr(0, 17), "POST\n/a%20b/../c\n");
  EXPECT_EQ(canonical_request({.path = "/a%20b/c", .headers = {{"host", "h"}}}, example_scope("lambda")).substr(0, 16),
            "POST\n/a%2520b/c\n");
}

TEST(PercentEncoded, KeepsWhatIsUnreserved) {
  EXPECT_EQ(percent_encoded("az-AZ_09.~"), "az-AZ_09.~");
  EXPECT_EQ(percent_encoded("a b/ü:"), "a%20b%2F%C3%BC%3A");
  EXPECT_EQ(percent_encoded("a b/c", "/"), "a%20b/c");
}

}  // namespace
}  // namespace splitnet::detail
