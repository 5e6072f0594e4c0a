// SPDX-License-Identifier: Apache-2.0
#include "splitnet/object_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "aws/lambda_stand_in.hpp"
#include "error_of.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using ::testing::HasSubstr;
using testing::LambdaStandIn;
using testing::ScriptedServer;
using testing::throws;

TEST(ObjectStore, PutsGetsAndRemoves) {
  LambdaStandIn aws;
  const auto store = ObjectStore::open("s3://bodies/a/b", aws.options());
  std::string bytes(3'000'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 24);
  store->put("one", bytes);
  store->put("two and+ü", "");
  EXPECT_EQ(store->get("one"), bytes);
  EXPECT_EQ(store->get("two and+ü"), "");
  EXPECT_EQ(aws.store.objects().count("/bodies/a/b/one"), 1U);
  EXPECT_EQ(aws.store.objects().count("/bodies/a/b/two%20and%2B%C3%BC"), 1U);
  store->remove("one");
  store->remove("one");
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "NoSuchKey", [&] { (void)store->get("one"); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "s3://bodies/a/b/one", [&] { (void)store->get("one"); }));
}

TEST(ObjectStore, KnowsWhatIsIts) {
  const auto store = ObjectStore::open("s3://bodies/a", LambdaStandIn().options());
  EXPECT_EQ(store->url_of("x/y"), "s3://bodies/a/x/y");
  EXPECT_EQ(store->key_of("s3://bodies/a/x/y"), "x/y");
  for (const char* url : {"s3://bodies/a/", "s3://bodies/ab", "s3://bodies/b/x", "s3://other/a/x", "bodies/a/x", ""}) {
    EXPECT_EQ(store->key_of(url), std::nullopt) << url;
  }
  EXPECT_EQ(ObjectStore::open("s3://bodies", LambdaStandIn().options())->url_of("x"), "s3://bodies/x");
}

TEST(ObjectStore, UrlsThatAreNone) {
  for (const char* url :
       {"", "bodies", "s3://", "s3:///a", "http://bodies", "s3://Bodies", "s3://bo dies/a", "s3://b"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected s3://bucket", [&] {
      (void)ObjectStore::open(url, LambdaStandIn().options());
    })) << url;
  }
}

TEST(ObjectStore, BucketsThatAreNotThere) {
  LambdaStandIn aws;
  const auto store = ObjectStore::open("s3://nothing", aws.options());
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "NoSuchBucket", [&] { store->put("x", "y"); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "NoSuchBucket", [&] { (void)store->get("x"); }));
}

TEST(ObjectStore, SaysWhichRegionTheBucketIsIn) {
  ScriptedServer server([](const auto&) {
    auto response = ScriptedServer::reply(301, "<Error><Code>PermanentRedirect</Code></Error>");
    response.set("x-amz-bucket-region", "us-west-2");
    return response;
  });
  const auto store = ObjectStore::open(
      "s3://bodies",
      {.region = "eu-central-1", .endpoint = server.url(), .credentials = fixed_aws_credentials({"a", "b"})});
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "the bucket is in region 'us-west-2'", [&] { store->put("x", "y"); }));
}

TEST(ObjectStore, SaysThatTheRegionIsWrong) {
  ScriptedServer server([](const auto&) {
    return ScriptedServer::reply(
        400,
        "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is "
        "malformed; the region 'eu-central-1' is wrong; expecting 'eu-west-1'</Message></Error>");
  });
  const auto store = ObjectStore::open(
      "s3://bodies",
      {.region = "eu-central-1", .endpoint = server.url(), .credentials = fixed_aws_credentials({"a", "b"})});
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expecting 'eu-west-1'", [&] { store->put("x", "y"); }));
}

TEST(ObjectStore, TakesNoMoreThanAskedFor) {
  LambdaStandIn aws;
  const auto store = ObjectStore::open("s3://bodies", aws.options());
  store->put("x", std::string(1001, 'x'));
  EXPECT_EQ(store->get("x", 1001).size(), 1001U);
  EXPECT_TRUE(throws(ErrorCode::too_large, "1000", [&] { (void)store->get("x", 1000); }));
}

TEST(ObjectStore, DoesNotWaitForOneThatHangs) {
  LambdaStandIn aws;
  aws.store.hangs = true;
  auto options = aws.options();
  options.stall_timeout = std::chrono::seconds(1);
  const auto store = ObjectStore::open("s3://bodies", options);
  EXPECT_TRUE(throws(ErrorCode::unavailable, "/bodies/x", [&] { store->put("x", "y"); }));
  EXPECT_TRUE(throws(ErrorCode::unavailable, "/bodies/x", [&] { (void)store->get("x"); }));
  const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  EXPECT_TRUE(throws(ErrorCode::deadline_exceeded, "", [&] { store->put("x", "y", soon); }));
  std::stop_source stop;
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_TRUE(throws(ErrorCode::cancelled, "", [&] { store->put("x", "y", {}, stop.get_token()); }));
  stopper.join();
}

/// The store's clock is two hours ahead: what is signed by this machine's is refused once, and sent again.
TEST(ObjectStore, IsSignedForByTheClockOfTheStore) {
  std::vector<ScriptedServer::Request> requests;
  std::mutex mutex;
  ScriptedServer server([&](const auto& request) {
    const std::lock_guard lock(mutex);
    requests.push_back(request);
    const std::time_t theirs = std::time(nullptr) + 7200;
    std::tm parts{};
    gmtime_r(&theirs, &parts);
    char hour[32];
    std::strftime(hour, sizeof hour, "%Y%m%dT%H", &parts);
    if (std::string(request["x-amz-date"]).starts_with(hour)) return ScriptedServer::reply(200, "");
    auto response = ScriptedServer::reply(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>");
    char date[64];
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    response.set("Date", date);
    return response;
  });
  const auto store = ObjectStore::open(
      "s3://bodies",
      {.region = "eu-central-1", .endpoint = server.url(), .credentials = fixed_aws_credentials({"a", "b"})});
  store->put("x", std::string(100'000, 'y'));
  store->put("x", "z");
  ASSERT_EQ(requests.size(), 3U) << "only the first one twice";
  EXPECT_EQ(requests[0].body(), requests[1].body());
  EXPECT_EQ(requests[0]["x-amz-content-sha256"], requests[1]["x-amz-content-sha256"]);
  EXPECT_NE(requests[0]["authorization"], requests[1]["authorization"]);
}

TEST(ObjectStore, HeedsDeadlines) {
  LambdaStandIn aws;
  const auto store = ObjectStore::open("s3://bodies", aws.options());
  EXPECT_TRUE(
      throws(ErrorCode::deadline_exceeded, "", [&] { store->put("x", "y", std::chrono::steady_clock::now()); }));
}

TEST(AwsOptions, ARegionIsNeeded) {
  AwsOptions options = LambdaStandIn().options();
  options.region = "";
  ASSERT_EQ(unsetenv("AWS_REGION") + unsetenv("AWS_DEFAULT_REGION"), 0);
  ASSERT_EQ(setenv("AWS_CONFIG_FILE", "/nonexistent", 1), 0);
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "no AWS region", [&] { (void)ObjectStore::open("s3://bodies", options); }));
  options.region = "somewhere else";
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "somewhere else", [&] { (void)ObjectStore::open("s3://bodies", options); }));
  options.region = "eu-central-1";
  options.endpoint = "127.0.0.1:80";
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "127.0.0.1:80", [&] { (void)ObjectStore::open("s3://bodies", options); }));
  ASSERT_EQ(unsetenv("AWS_CONFIG_FILE"), 0);
}

}  // namespace
}  // namespace splitnet
