// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/unix.hpp"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "raw_peer.hpp"
#include "splitnet/testing/transport_tools.hpp"

namespace splitnet {
namespace {

using testing::code_of;
using testing::echo;
using testing::request_with;

class UnixFile : public ::testing::Test {
 protected:
  ~UnixFile() override { std::filesystem::remove(path); }
  void expect_served(const ConnectOptions& options = {}) {
    (void)call_and_wait(*transport->connect(endpoint, options), request_with({}));
  }
  const std::string path = ::testing::TempDir() + "splitnet_unix_" + std::to_string(::getpid());
  const std::string endpoint = "unix://" + path;
  const std::shared_ptr<Transport> transport = make_unix_transport();
};

TEST_F(UnixFile, IsForItsOwnerAndGoesWithTheListener) {
  auto listener = transport->listen(endpoint, echo, {});
  struct stat file {};
  ASSERT_EQ(::stat(path.c_str(), &file), 0);
  EXPECT_TRUE(S_ISSOCK(file.st_mode));
  EXPECT_EQ(file.st_mode & 0777U, 0600U);
  expect_served();
  listener->close();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(UnixFile, ReplacesOneThatWasLeftBehind) {
  {
    testing::RawAddress address(endpoint);
    const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(::bind(dead, address.data(), *address.size()), 0);
    ::close(dead);
  }
  ASSERT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(code_of([&] { (void)transport->connect(endpoint, {}); }), ErrorCode::unavailable);
  const auto listener = transport->listen(endpoint, echo, {});
  expect_served();
}

TEST_F(UnixFile, LeavesOtherFilesAlone) {
  std::ofstream(path) << "precious";
  EXPECT_EQ(code_of([&] { (void)transport->listen(endpoint, echo, {}); }), ErrorCode::unavailable);
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "precious");
}

TEST_F(UnixFile, LeavesAnothersFileWhenItCloses) {
  auto first = transport->listen(endpoint, echo, {});
  std::filesystem::remove(path);
  const auto second = transport->listen(endpoint, echo, {});
  first->close();
  expect_served();
}

TEST(UnixEndpoint, RefusesWhatIsNone) {
  const auto transport = make_unix_transport();
  for (const std::string& endpoint :
       {std::string("unix://"), std::string("unix://@"), std::string("unix:///"), std::string("unix://relative"),
        std::string("tcp://127.0.0.1:1"), "unix:///" + std::string(200, 'a'), std::string("unix:///a\0b", 11)}) {
    EXPECT_EQ(code_of([&] { (void)transport->connect(endpoint, {}); }), ErrorCode::invalid_argument) << endpoint;
    EXPECT_EQ(code_of([&] { (void)transport->listen(endpoint, echo, {}); }), ErrorCode::invalid_argument) << endpoint;
  }
}

}  // namespace
}  // namespace splitnet
