// SPDX-License-Identifier: Apache-2.0
// FAULTS 11 and 21 over tls://.
#include "splitnet/transport/tls.hpp"

#include "certificates.hpp"
#include "raw_peer.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "splitnet/transport/tcp.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::code_of;
using testing::echo;
using testing::request_with;

class Tls : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    certificates = std::make_unique<testing::Certificates>();
    certificates->issue("server");
    certificates->issue("client");
    testing::CertificateOptions elsewhere;
    elsewhere.names = "DNS:elsewhere.example";
    certificates->issue("elsewhere", elsewhere);
    certificates->make("stranger", {});
  }
  static void TearDownTestSuite() { certificates.reset(); }

  void listen(const TlsOptions& tls, const ListenOptions& options = {}) {
    listener = make_tls_transport(tls)->listen("tls://127.0.0.1:0", echo, options);
  }
  /// What happens to somebody who connects and calls.
  std::optional<Error> outcome(const TlsOptions& tls) const {
    ConnectOptions once;
    once.reconnect.enabled = false;
    try {
      const auto connection = make_tls_transport(tls)->connect(listener->address(), once);
      (void)call_and_wait(*connection, request_with({testing::iota_u8(100'000)}));
      return std::nullopt;
    } catch (const Error& error) {
      return error;
    }
  }
  static TlsOptions client_with(const std::string& certificate) {
    auto options = certificates->client();
    options.certificate_file = certificates->certificate(certificate);
    options.private_key_file = certificates->key(certificate);
    return options;
  }
  static std::unique_ptr<testing::Certificates> certificates;
  std::unique_ptr<Listener> listener;
};
std::unique_ptr<testing::Certificates> Tls::certificates;

TEST_F(Tls, ServesWhoTrustsIt) {
  listen(certificates->server("server"));
  EXPECT_TRUE(listener->address().starts_with("tls://127.0.0.1:"));
  EXPECT_FALSE(outcome(certificates->client()));
}

TEST_F(Tls, NeedsACertificateToListen) {
  EXPECT_EQ(code_of([&] { listen({}); }), ErrorCode::invalid_argument);
}

TEST_F(Tls, ListensBeyondThisMachine) {
  EXPECT_NO_THROW((void)make_tls_transport(certificates->server("server"))->listen("tls://0.0.0.0:0", echo, {}));
}

TEST_F(Tls, IsRefusedByWhoDoesNotTrustIt) {
  listen(certificates->server("stranger"));
  const auto error = outcome(certificates->client());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
}

TEST_F(Tls, IsRefusedUnderAnotherName) {
  listen(certificates->server("elsewhere"));
  auto error = outcome(certificates->client());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
  auto by_name = certificates->client();
  by_name.server_name = "elsewhere.example";
  EXPECT_FALSE(outcome(by_name));
}

TEST_F(Tls, RefusesClientsWithoutTheRightCertificate) {
  auto server = certificates->server("server");
  server.client_ca_file = certificates->certificate("ca");
  listen(server);
  EXPECT_FALSE(outcome(client_with("client")));
  for (const auto& options : {certificates->client(), client_with("stranger")}) {
    const auto error = outcome(options);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
  }
  EXPECT_FALSE(outcome(client_with("client")));
}

TEST_F(Tls, IsNotConfusedByPlainBytes) {
  ListenOptions options;
  options.handshake_timeout = 100ms;
  listen(certificates->server("server"), options);
  const testing::RawPeer plain(listener->address());
  plain.send(encode(request_with({})).join());
  EXPECT_TRUE(plain.read_to_end());
  const testing::RawPeer http(listener->address());
  http.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(http.read_to_end());
  const testing::RawPeer silent(listener->address());
  EXPECT_TRUE(silent.read_to_end()) << "a handshake has its time too";
  EXPECT_FALSE(outcome(certificates->client()));
}

TEST_F(Tls, SaysThatTheOtherSideIsPlain) {
  const auto plain = make_tcp_transport()->listen("tcp://127.0.0.1:0", echo, {});
  ConnectOptions options;
  options.connect_timeout = 5s;
  const auto code = code_of(
      [&] { (void)make_tls_transport(certificates->client())->connect("tls" + plain->address().substr(3), options); });
  EXPECT_TRUE(code == ErrorCode::incompatible || code == ErrorCode::unavailable);
}

TEST_F(Tls, PlainCallersHearThatItIsNotTheirs) {
  listen(certificates->server("server"));
  ConnectOptions options;
  options.reconnect.enabled = false;
  const auto connection = make_tcp_transport()->connect("tcp" + listener->address().substr(3), options);
  const auto error = testing::start_call(*connection, request_with({})).error();
  EXPECT_TRUE(error == ErrorCode::corrupt || error == ErrorCode::unavailable);
}

}  // namespace
}  // namespace splitnet
