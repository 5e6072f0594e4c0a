// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tcp.hpp"

#include "splitnet/testing/transport_tools.hpp"

namespace splitnet {
namespace {

using testing::echo;
using testing::request_with;

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
