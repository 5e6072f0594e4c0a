// SPDX-License-Identifier: Apache-2.0
#include "splitnet/access.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::throws;
const std::string good = "correct-horse-battery";

class TokenFile : public ::testing::Test {
 protected:
  std::string write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_) << text;
    ::chmod(path_.c_str(), mode);
    return path_;
  }
  ~TokenFile() override { std::filesystem::remove(path_); }
  const std::string path_ = ::testing::TempDir() + "splitnet_token_" + std::to_string(::getpid());
};

TEST_F(TokenFile, IsItsFirstLine) {
  EXPECT_EQ(load_token(write(good)), good);
  EXPECT_EQ(load_token(write(good + "\r\nsecond line\n")), good);
  EXPECT_EQ(load_token(write(good + "\n", 0640)), good);
}

TEST_F(TokenFile, IsRefusedWithoutShowingIt) {
  const auto refused = [&](const std::string& what, const std::string& text, mode_t mode = 0600) {
    const std::string path = write(text, mode);
    return throws(ErrorCode::invalid_argument, "token file '" + path + "': " + what, [&] { (void)load_token(path); });
  };
  EXPECT_TRUE(refused("15 characters; expected 16 to 512", std::string(15, 'a')));
  EXPECT_TRUE(refused("513 characters", std::string(513, 'a')));
  EXPECT_TRUE(refused("0 characters", "\n" + good));
  EXPECT_TRUE(refused("a character that a token can't have", "correct horse battery"));
  EXPECT_TRUE(refused("everybody may read or write it; expected chmod 600", good, 0644));
  std::filesystem::remove(path_);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "can't be read", [&] { (void)load_token(path_); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "can't be read", [&] { (void)load_token("/"); }));
  try {
    check_token("a secret with spaces");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos);
  }
}

TEST(TokenFromEnvironment, IsReadAndChecked) {
  ASSERT_EQ(::setenv("SPLITNET_TEST_TOKEN", good.c_str(), 1), 0);
  EXPECT_EQ(token_from_environment("SPLITNET_TEST_TOKEN"), good);
  ASSERT_EQ(::unsetenv("SPLITNET_TEST_TOKEN"), 0);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "environment variable SPLITNET_TEST_TOKEN: not set",
                     [] { (void)token_from_environment("SPLITNET_TEST_TOKEN"); }));
}

TEST(Tokens, AreTheSameOnlyWhenAllOfThemIs) {
  EXPECT_TRUE(is_same_token(good, good));
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string other = good;
    other[i] ^= 1;
    EXPECT_FALSE(is_same_token(good, other)) << i;
    EXPECT_FALSE(is_same_token(good, good.substr(0, i))) << i;
  }
  EXPECT_FALSE(is_same_token(good, good + good));
  EXPECT_FALSE(is_same_token("", good));
  EXPECT_TRUE(is_same_token("", ""));
}

}  // namespace
}  // namespace splitnet
