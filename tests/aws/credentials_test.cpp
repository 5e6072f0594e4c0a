// SPDX-License-Identifier: Apache-2.0
#include "splitnet/aws/credentials.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>

#include "aws/profile_file.hpp"
#include "aws/renewed_credentials.hpp"
#include "error_of.hpp"
#include "scripted_server.hpp"
#include "temporary_file.hpp"

namespace splitnet {
namespace {

using testing::ScriptedServer;
using testing::TemporaryFile;
using testing::throws;
using namespace std::chrono_literals;

/// The environment without anything of AWS, as it was before at the end.
class AwsCredentialsTest : public ::testing::Test {
 protected:
  AwsCredentialsTest() {
    for (const char* name : kNames) {
      if (const char* value = std::getenv(name)) before_[name] = value;
      ::unsetenv(name);
    }
    set("AWS_SHARED_CREDENTIALS_FILE", file_.path());
  }
  ~AwsCredentialsTest() override {
    for (const char* name : kNames) ::unsetenv(name);
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  static void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }

  static constexpr const char* kNames[] = {"AWS_ACCESS_KEY_ID",
                                           "AWS_SECRET_ACCESS_KEY",
                                           "AWS_SESSION_TOKEN",
                                           "AWS_PROFILE",
                                           "AWS_SHARED_CREDENTIALS_FILE",
                                           "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                           "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                           "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                           "http_proxy"};
  TemporaryFile file_{"credentials"};
  std::map<std::string, std::string> before_;
};

TEST_F(AwsCredentialsTest, AreTakenFromTheEnvironment) {
  set("AWS_ACCESS_KEY_ID", "id");
  set("AWS_SECRET_ACCESS_KEY", "secret");
  set("AWS_SESSION_TOKEN", "token");
  const auto found = default_aws_credentials()();
  EXPECT_EQ(found.access_key_id, "id");
  EXPECT_EQ(found.secret_access_key, "secret");
  EXPECT_EQ(found.session_token, "token");
}

TEST_F(AwsCredentialsTest, AreTakenFromAProfile) {
  file_.write(
      "[default]\naws_access_key_id = id\naws_secret_access_key = secret=with=signs\n\n"
      "; a comment\n[other]\naws_access_key_id=id2\n# another\nAWS_SECRET_ACCESS_KEY =s2\naws_session_token = t\n");
  EXPECT_EQ(default_aws_credentials()().secret_access_key, "secret=with=signs");
  set("AWS_PROFILE", "other");
  const auto found = default_aws_credentials()();
  EXPECT_EQ(found.access_key_id, "id2");
  EXPECT_EQ(found.session_token, "t");
  set("AWS_PROFILE", "third");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "'third'", [] { default_aws_credentials()(); }));
}

TEST_F(AwsCredentialsTest, AreFetchedFromTheContainerAndRenewedBeforeTheyExpire) {
  int asked = 0;
  std::string expiration = "2099-01-01T00:00:00Z";
  ScriptedServer server([&](const auto& request) {
    ++asked;
    if (request[boost::beast::http::field::authorization] != "word") return ScriptedServer::reply(403, "no");
    return ScriptedServer::reply(
        200,
        R"({"AccessKeyId": "id", "SecretAccessKey": "secret", "Token": "t", "Expiration": ")" + expiration + "\"}");
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/credentials");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "status 403", [] { default_aws_credentials()(); }));
  set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "word");
  const auto credentials = default_aws_credentials();
  EXPECT_EQ(credentials().session_token, "t");
  EXPECT_EQ(credentials().access_key_id, "id");
  EXPECT_EQ(asked, 2) << "kept as long as they are good";
  expiration = "2001-01-01T00:00:00Z";
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "expired", [] { default_aws_credentials()(); }));
}

TEST_F(AwsCredentialsTest, AreNotSentForInClearTextFromElsewhere) {
  for (const char* url : {"http://example.com/credentials", "http://127.evil.example/", "http://localhost.example/",
                          "http://127.0.0.1@example.com/", "http://169.254.170.2.example/", "ftp://127.0.0.1/", "x"}) {
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    EXPECT_TRUE(throws(ErrorCode::unauthenticated, "neither HTTPS", [] { default_aws_credentials()(); })) << url;
  }
  set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/credentials");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "begin with a slash", [] { default_aws_credentials()(); }));
}

TEST_F(AwsCredentialsTest, OfAContainerAreAskedForWithoutProxies) {
  ScriptedServer server([](const auto&) {
    return ScriptedServer::reply(200, R"({"AccessKeyId": "id", "SecretAccessKey": "secret", "Token": "t"})");
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/credentials");
  set("http_proxy", "http://127.0.0.1:1");
  EXPECT_EQ(default_aws_credentials()().session_token, "t");
  ::unsetenv("http_proxy");
}

TEST_F(AwsCredentialsTest, OfAContainerAreAskedForWithTheTokenOfAFile) {
  std::string shown;
  ScriptedServer server([&](const auto& request) {
    shown = std::string(request[boost::beast::http::field::authorization]);
    return ScriptedServer::reply(200, R"({"AccessKeyId": "id", "SecretAccessKey": "secret", "Token": "t"})");
  });
  const TemporaryFile token("token");
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url() + "/credentials");
  set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.path());
  token.write("word\r\n\n");
  EXPECT_EQ(default_aws_credentials()().access_key_id, "id");
  EXPECT_EQ(shown, "word");
  for (const char* text : {"word\nX-Other: b", "wo\rrd", "wo\trd", "", "\n"}) {
    token.write(text);
    EXPECT_TRUE(throws(ErrorCode::unauthenticated, token.path(), [] { default_aws_credentials()(); })) << text;
  }
  set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent/token");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "/nonexistent/token", [] { default_aws_credentials()(); }));
}

/// They become headers of requests.
TEST_F(AwsCredentialsTest, WithEndsOfLinesAreRefused) {
  set("AWS_ACCESS_KEY_ID", "id");
  set("AWS_SECRET_ACCESS_KEY", "secret");
  set("AWS_SESSION_TOKEN", "token\r\nX-Other: b");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "environment", [] { default_aws_credentials()(); }));
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "the session token", [] { default_aws_credentials()(); }));
  ::unsetenv("AWS_ACCESS_KEY_ID");
  ::unsetenv("AWS_SECRET_ACCESS_KEY");
  file_.write("[default]\naws_access_key_id = i\rd\naws_secret_access_key = secret\n");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "the access key id", [] { default_aws_credentials()(); }));
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "secret access key has", [] {
    fixed_aws_credentials({"id",
                           "s\x7f"
                           "ecret"})();
  }));
}

TEST_F(AwsCredentialsTest, ThatAreMissingAreSaidToBe) {
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "AWS_ACCESS_KEY_ID", [] { default_aws_credentials()(); }));
  set("AWS_ACCESS_KEY_ID", "id");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "no secret access key", [] { default_aws_credentials()(); }));
}

TEST_F(AwsCredentialsTest, AreFoundOnceTheyAreThere) {
  const auto credentials = default_aws_credentials();
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "", [&] { credentials(); }));
  set("AWS_ACCESS_KEY_ID", "id");
  set("AWS_SECRET_ACCESS_KEY", "secret");
  EXPECT_EQ(credentials().access_key_id, "id");
}

/// Whoever gives credentials, and the time.
struct Renewal {
  std::chrono::system_clock::time_point now{1000h};
  int asked = 0;
  bool fails = false;
  std::chrono::seconds lasts = 3600s;
  detail::RenewedCredentials credentials{[this]() -> AwsCredentials {
                                           ++asked;
                                           if (fails) throw Error(ErrorCode::unavailable, "nobody there");
                                           return {"id", "secret", std::to_string(asked), now + lasts};
                                         },
                                         [this] { return now; }};
  std::string token() { return credentials.get().session_token; }
};

TEST(RenewedCredentials, AreRenewedAheadOfTheirEnd) {
  Renewal renewal;
  EXPECT_EQ(renewal.token(), "1");
  renewal.now += 3299s;
  EXPECT_EQ(renewal.token(), "1");
  renewal.now += 2s;
  EXPECT_EQ(renewal.token(), "2") << "five minutes before";
  EXPECT_EQ(renewal.token(), "2");
}

TEST(RenewedCredentials, AreKeptWhileTheyAreGoodAndNobodyGivesNewOnes) {
  Renewal renewal;
  EXPECT_EQ(renewal.token(), "1");
  renewal.now += 3400s;
  renewal.fails = true;
  EXPECT_EQ(renewal.token(), "1");
  EXPECT_EQ(renewal.token(), "1");
  EXPECT_EQ(renewal.asked, 2) << "who does not answer is not asked for every request";
  renewal.now += 31s;
  EXPECT_EQ(renewal.token(), "1");
  EXPECT_EQ(renewal.asked, 3);
  renewal.now += 200s;
  EXPECT_TRUE(throws(ErrorCode::unavailable, "nobody there", [&] { renewal.token(); })) << "they have expired";
  renewal.fails = false;
  EXPECT_EQ(renewal.token(), "5");
}

TEST(RenewedCredentials, ThatNeverLastForLongAreNotFetchedForEveryRequest) {
  Renewal renewal;
  renewal.lasts = 60s;
  EXPECT_EQ(renewal.token(), "1");
  EXPECT_EQ(renewal.token(), "1");
  renewal.now += 31s;
  EXPECT_EQ(renewal.token(), "2");
}

TEST(ProfileFile, IsReadWhateverItHolds) {
  EXPECT_TRUE(detail::settings_of_profile("", "default").empty());
  EXPECT_TRUE(detail::settings_of_profile("[default\nno equals\n=\n[", "other").empty());
  EXPECT_EQ(detail::settings_of_profile("[profile a]\r\nk = v\r\n", "a").at("k"), "v");
}

}  // namespace
}  // namespace splitnet
