// SPDX-License-Identifier: Apache-2.0
#include "splitnet/aws/credentials.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "aws/profile_file.hpp"
#include "error_of.hpp"
#include "scripted_server.hpp"
#include "temporary_file.hpp"

namespace splitnet {
namespace {

using testing::ScriptedServer;
using testing::TemporaryFile;
using testing::throws;

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
                                           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"};
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
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/credentials");
  EXPECT_TRUE(throws(ErrorCode::unauthenticated, "neither HTTPS", [] { default_aws_credentials()(); }));
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

TEST(ProfileFile, IsReadWhateverItHolds) {
  EXPECT_TRUE(detail::settings_of_profile("", "default").empty());
  EXPECT_TRUE(detail::settings_of_profile("[default\nno equals\n=\n[", "other").empty());
  EXPECT_EQ(detail::settings_of_profile("[profile a]\r\nk = v\r\n", "a").at("k"), "v");
}

}  // namespace
}  // namespace splitnet
