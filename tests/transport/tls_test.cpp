// SPDX-License-Identifier: Apache-2.0
// FAULTS 8, 11, 21 and 22 over tls://.
#include "splitnet/transport/tls.hpp"

#include "certificates.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "splitnet/transport/tcp.hpp"
#include "tls_cipher.hpp"

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
    testing::CertificateOptions expired;
    expired.until_s = -60;
    certificates->issue("expired", expired);
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

TEST_F(Tls, RefusesAListenerWhoseCertificateHasExpired) {
  const testing::BadServer server(
      "tls://127.0.0.1:0", [](const testing::RawPeer& peer) { (void)peer.read_to_end(); },
      [] {
        return std::make_unique<testing::TlsCipher>(testing::TlsCipher::Side::listening,
                                                    certificates->server("expired"));
      });
  EXPECT_EQ(code_of([&] { (void)make_tls_transport(certificates->client())->connect(server.address(), {}); }),
            ErrorCode::unauthenticated);
}

/// A peer of TLS that does not care about what it should.
class TlsAttack : public Tls {
 protected:
  void listen_for_clients() {
    auto server = certificates->server("server");
    server.client_ca_file = certificates->certificate("ca");
    listener = make_tls_transport(server)->listen("tls://127.0.0.1:0", held.handler(), {});
  }
  /// `cipher` stays with the peer that is made of it.
  static std::unique_ptr<testing::TlsCipher> cipher(const std::string& certificate) {
    return std::make_unique<testing::TlsCipher>(testing::TlsCipher::Side::connecting,
                                                certificate.empty() ? TlsOptions() : certificates->server(certificate));
  }
  void expect_served() {
    const auto connection = make_tls_transport(client_with("client"))->connect(listener->address(), {});
    const auto answer = testing::start_call(*connection, request_with({}));
    ASSERT_TRUE(held.wait_for(1));
    for (auto& item : held.take()) item.respond(testing::reply_with({}));
    EXPECT_EQ(answer.error(), std::nullopt);
  }
  static Message request() {
    auto message = request_with({Value(1)});
    message.id = 1;
    return message;
  }
  testing::Held held;
};

TEST_F(TlsAttack, ClientsWithoutAGoodCertificateAreNotListenedTo) {
  listen_for_clients();
  for (const std::string certificate : {"", "stranger", "expired"}) {
    const testing::RawPeer peer(listener->address(), cipher(certificate));
    peer.send(request());
    EXPECT_EQ(peer.read_to_end(), "") << certificate;
    EXPECT_EQ(held.take().size(), 0U) << certificate;
  }
  expect_served();
}

/// FAULTS 8: no message of it is looked at.
TEST_F(TlsAttack, FlippedBitsOfWhatIsEncrypted) {
  listen_for_clients();
  for (const std::size_t from_end : {1, 20, 40}) {
    const testing::RawPeer peer(listener->address(), cipher("client"));
    const auto bytes = encode(request()).join();
    auto sealed = peer.sealed(bytes.data(), bytes.size_bytes());
    sealed[sealed.size() - from_end] ^= 1;
    peer.send_sealed(sealed);
    EXPECT_EQ(peer.read_to_end(), "");
    EXPECT_EQ(held.take().size(), 0U);
  }
  expect_served();
}

/// FAULTS 22: who has recorded a connection can't have it served again.
TEST_F(TlsAttack, AConnectionThatIsPlayedAgain) {
  listen_for_clients();
  auto recorder = cipher("client");
  const auto* const recorded = recorder.get();
  const testing::RawPeer peer(listener->address(), std::move(recorder));
  peer.send(request());
  ASSERT_TRUE(held.wait_for(1));
  held.take();
  const testing::RawPeer again(listener->address());
  again.send(recorded->said());
  EXPECT_TRUE(again.read_to_end());
  EXPECT_EQ(held.take().size(), 0U);
  expect_served();
}

TEST_F(Tls, ReportsFlippedBitsOfAReply) {
  const testing::BadServer server(
      "tls://127.0.0.1:0",
      [](const testing::RawPeer& peer) {
        (void)peer.read_some();
        auto reply = testing::reply_with({Value(1)});
        reply.id = 1;
        const auto bytes = encode(reply).join();
        auto sealed = peer.sealed(bytes.data(), bytes.size_bytes());
        sealed.back() ^= 1;
        peer.send_sealed(sealed);
        (void)peer.read_to_end();
      },
      [] {
        return std::make_unique<testing::TlsCipher>(testing::TlsCipher::Side::listening,
                                                    certificates->server("server"));
      });
  ConnectOptions once;
  once.reconnect.enabled = false;
  const auto connection = make_tls_transport(certificates->client())->connect(server.address(), once);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
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
