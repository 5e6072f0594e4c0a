// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/unix.hpp"

#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "another_user.hpp"
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

/// FAULTS 19: a name has no owner, so that who may come is looked at.
TEST(UnixName, IsForItsUserUnlessThereIsAToken) {
  const std::string name = "unix://@splitnet_users_" + std::to_string(::getpid());
  const auto transport = make_unix_transport();
  std::unique_ptr<Listener> listener = transport->listen(name, echo, {});
  ConnectOptions options;
  options.reconnect.enabled = false;
  const auto outcome = [&] {
    return testing::start_call(*transport->connect(name, options), request_with({})).error();
  };
  const bool allowed = testing::as_another_user([&] { EXPECT_EQ(outcome(), ErrorCode::unauthenticated); });
  if (!allowed) GTEST_SKIP() << "only root can be somebody else";
  EXPECT_EQ(outcome(), std::nullopt);
  listener.reset();
  ListenOptions with_token;
  with_token.token = options.token = "sixteen-and-more-characters";
  listener = transport->listen(name, echo, with_token);
  EXPECT_TRUE(testing::as_another_user([&] { EXPECT_EQ(outcome(), std::nullopt); }));
}

/// FAULTS 13: the kernel would hand over descriptors, and nobody takes them.
TEST(UnixName, TakesNoDescriptors) {
  const std::string name = "unix://@splitnet_handles_" + std::to_string(::getpid());
  const auto listener = make_unix_transport()->listen(name, echo, {});
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const testing::RawPeer peer(name);
  auto request = request_with({Value(7)});
  request.id = 1;
  const auto bytes = encode(request).join();
  iovec vector{bytes.data(), bytes.size_bytes()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  auto* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &pipe[1], sizeof(int));
  ASSERT_GT(::sendmsg(peer.descriptor(), &message, MSG_NOSIGNAL), 0);
  ::close(pipe[1]);
  peer.stop_sending();
  const auto answers = peer.read_messages();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].values.at(0).integer(), 7);
  char byte = 0;
  EXPECT_EQ(::read(pipe[0], &byte, 1), 0) << "somebody holds the other end of the pipe";
  ::close(pipe[0]);
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
