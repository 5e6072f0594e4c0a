// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tcp.hpp"

#include <linux/filter.h>

#include <cerrno>

#include "raw_peer.hpp"
#include "splitnet/testing/transport_tools.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using testing::RawPeer;
using testing::request_with;

// ---- a peer that is silent (FAULTS 30) --------------------------------------------------

/// As if the cable had been pulled: the kernel hears nothing for this socket any more, and acknowledges nothing.
void pull_cable(int descriptor) {
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &drop};
  ASSERT_EQ(::setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0)
      << std::strerror(errno);
}

TEST(TcpDeadPeer, EndsCallsWithoutADeadline) {
  std::promise<void> finished;
  const testing::BadServer server("tcp://127.0.0.1:0", [&](int peer) {
    pull_cable(peer);
    finished.get_future().wait();
  });
  ConnectOptions options;
  options.dead_peer_timeout = 1s;
  const auto connection = make_tcp_transport()->connect(server.address(), options);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 900ms);
  finished.set_value();
}

TEST(TcpDeadPeer, EndsCallsThatItHasAcknowledged) {
  std::promise<void> finished;
  const testing::BadServer server("tcp://127.0.0.1:0", [&](int peer) {
    char request[4096];
    ASSERT_GT(::recv(peer, request, sizeof request, 0), 0);
    std::this_thread::sleep_for(100ms);  // The kernel's acknowledgement has gone.
    pull_cable(peer);
    finished.get_future().wait();
  });
  ConnectOptions options;
  options.dead_peer_timeout = 1s;
  const auto connection = make_tcp_transport()->connect(server.address(), options);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  finished.set_value();
}

TEST(TcpDeadPeer, IsForgottenByTheListener) {
  testing::Held held;
  ListenOptions options;
  options.dead_peer_timeout = 1s;
  const auto listener = make_tcp_transport()->listen("tcp://127.0.0.1:0", held.handler(), options);
  const RawPeer peer(listener->address());
  auto request = request_with({});
  request.id = 1;
  peer.send(request);
  ASSERT_TRUE(held.wait_for(1));
  std::this_thread::sleep_for(100ms);
  pull_cable(peer.descriptor());
  const auto items = held.take();
  EXPECT_TRUE(testing::wait_until_stopped(items[0].context.stop));
}

// ---- endpoints ---------------------------------------------------------------------------------

TEST(TcpEndpoint, RefusesAddressesThatOtherMachinesReach) {
  for (const std::string endpoint : {"tcp://0.0.0.0:0", "tcp://[::]:0"}) {
    try {
      (void)make_tcp_transport()->listen(endpoint, echo, {});
      FAIL() << "listens on " << endpoint;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(error.what()).find(endpoint), std::string::npos) << error.what();
    }
  }
  ListenOptions options;
  options.allow_remote = true;
  EXPECT_NO_THROW((void)make_tcp_transport()->listen("tcp://0.0.0.0:0", echo, options));
  options.allow_remote = false;
  options.token = "the-token-of-this-test";
  EXPECT_NO_THROW((void)make_tcp_transport()->listen("tcp://0.0.0.0:0", echo, options));
}

TEST(TcpEndpoint, RefusesWhatIsNotAnEndpoint) {
  for (const std::string endpoint :
       {"tcp://", "tcp://host", "tcp://:1", "tcp://host:", "tcp://host:65536", "tcp://host:-1", "tcp://host:1x",
        "tcp://::1:80", "tcp://a/b:80", "http://host:80"}) {
    EXPECT_EQ(testing::code_of([&] { (void)make_tcp_transport()->connect(endpoint, {}); }), ErrorCode::invalid_argument)
        << endpoint;
  }
}

TEST(TcpEndpoint, ReportsAnUnknownHost) {
  EXPECT_EQ(testing::code_of([] { (void)make_tcp_transport()->connect("tcp://no-such-host.invalid:1", {}); }),
            ErrorCode::unavailable);
}

TEST(TcpEndpoint, AcceptsNamesAndIpv6) {
  for (const std::string endpoint : {"tcp://localhost:0", "tcp://[::1]:0"}) {
    std::unique_ptr<Listener> listener;
    try {
      listener = make_tcp_transport()->listen(endpoint, echo, {});
    } catch (const Error& error) {
      if (endpoint.find("::1") != std::string::npos) GTEST_SKIP() << "no IPv6 here: " << error.what();
      throw;
    }
    const auto connection = make_tcp_transport()->connect(listener->address(), {});
    (void)call_and_wait(*connection, request_with({}));
  }
}

}  // namespace
}  // namespace splitnet
