// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tcp.hpp"

#include <linux/filter.h>

#include <cerrno>

#include "roads.hpp"
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

/// Over every transport that leaves this machine.
class TcpDeadPeer : public ::testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<Connection> connect(const testing::BadServer& server) {
    ConnectOptions options;
    options.dead_peer_timeout = 1s;
    return testing::all_transports().connect(server.address(), options);
  }
  static std::unique_ptr<testing::Cipher> cipher() { return testing::listening_cipher(GetParam()); }
};

TEST_P(TcpDeadPeer, EndsCallsWithoutADeadline) {
  std::promise<void> pulled;
  std::promise<void> finished;
  const testing::BadServer server(
      GetParam(),
      [&](const RawPeer& peer) {
        pull_cable(peer.descriptor());
        pulled.set_value();
        finished.get_future().wait();
      },
      cipher);
  const auto connection = connect(server);
  pulled.get_future().wait();
  const auto hasty = testing::start_call(*connection, request_with({}), std::chrono::steady_clock::now() + 50ms);
  const auto patient = testing::start_call(*connection, request_with({}));
  EXPECT_EQ(hasty.error(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(patient.error(), ErrorCode::unavailable);
  finished.set_value();
}

TEST_P(TcpDeadPeer, EndsCallsThatItHasAcknowledged) {
  std::promise<void> finished;
  const testing::BadServer server(
      GetParam(),
      [&](const RawPeer& peer) {
        EXPECT_FALSE(peer.read_some().empty());
        std::this_thread::sleep_for(100ms);  // The kernel's acknowledgement has gone.
        pull_cable(peer.descriptor());
        finished.get_future().wait();
      },
      cipher);
  const auto connection = connect(server);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  finished.set_value();
}

TEST_P(TcpDeadPeer, IsForgottenByTheListener) {
  testing::Held held;
  ListenOptions options;
  options.dead_peer_timeout = 1s;
  const auto listener = testing::all_transports().listen(GetParam(), held.handler(), options);
  const RawPeer peer(listener->address(), testing::connecting_cipher(GetParam()));
  auto request = request_with({});
  request.id = 1;
  peer.send(request);
  ASSERT_TRUE(held.wait_for(1));
  std::this_thread::sleep_for(100ms);
  pull_cable(peer.descriptor());
  const auto items = held.take();
  EXPECT_TRUE(testing::wait_until_stopped(items[0].context.stop));
}

INSTANTIATE_TEST_SUITE_P(Roads, TcpDeadPeer, ::testing::ValuesIn([] {
                           auto endpoints = testing::tls_endpoints();
                           endpoints.insert(endpoints.end(), {"tcp://127.0.0.1:0", "shaped://@tcp://127.0.0.1:0"});
                           return endpoints;
                         }()),
                         [](const auto& test) { return testing::scheme_of(test.param); });

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
