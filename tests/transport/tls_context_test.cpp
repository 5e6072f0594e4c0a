// SPDX-License-Identifier: Apache-2.0
#include "transport/tls_context.hpp"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <functional>
#include <tuple>

#include "certificates.hpp"
#include "transport/asio_ssl.hpp"

namespace splitnet::detail {
namespace {

using splitnet::testing::CertificateOptions;
using splitnet::testing::Certificates;

class TlsContext : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    made_ = new Certificates;
    made_->issue("server");
    made_->issue("client");
  }
  static void TearDownTestSuite() { delete made_; }
  static const Certificates& made() { return *made_; }

  static void expect_refused(const std::function<void()>& action, const std::vector<std::string>& parts) {
    try {
      action();
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      for (const auto& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what() << "\nlacks " << part;
      }
    }
    EXPECT_EQ(ERR_peek_error(), 0U) << "left in OpenSSL's queue, where another call would find it";
  }

 private:
  inline static const Certificates* made_ = nullptr;
};

TEST_F(TlsContext, ListenerNeedsACertificateAndItsKey) {
  expect_refused([] { (void)make_server_context({}); }, {"certificate_file"});
  auto options = made().server("server");
  options.private_key_file.clear();
  expect_refused([&] { (void)make_server_context(options); }, {"server.pem", "private_key_file"});
}

TEST_F(TlsContext, NamesTheFileThatIsMissingOrOfAnotherKind) {
  const auto text = made().file_with("text", "not PEM\n");
  auto options = made().server("server");
  options.certificate_file = made().path("absent");
  expect_refused([&] { (void)make_server_context(options); }, {"certificate file", "absent", "can't be read"});
  options.certificate_file = text;
  expect_refused([&] { (void)make_server_context(options); }, {"certificate file", "text", "PEM"});
  options = made().server("server");
  options.private_key_file = text;
  expect_refused([&] { (void)make_server_context(options); }, {"private key file", "text", "PEM"});
  options = made().server("server");
  options.client_ca_file = text;
  expect_refused([&] { (void)make_server_context(options); }, {"client CA file", "text", "PEM"});
  options = made().client();
  options.ca_file = made().path("nowhere");
  expect_refused([&] { (void)make_client_context(options); }, {"CA file", "nowhere"});
}

TEST_F(TlsContext, RefusesAKeyThatDoesNotFit) {
  auto options = made().server("server");
  options.private_key_file = made().key("client");
  expect_refused([&] { (void)make_server_context(options); }, {"client.key", "does not fit", "server.pem"});
}

TEST_F(TlsContext, RefusesAKeyWithAPassphraseWithoutAskingForIt) {
  auto options = made().server("server");
  options.private_key_file = made().locked_key("server");
  expect_refused([&] { (void)make_server_context(options); }, {"server_locked.key", "without passphrase"});
}

TEST_F(TlsContext, RefusesACertificateOutOfItsTime) {
  CertificateOptions options;
  options.until_s = -60;
  made().issue("old", options);
  expect_refused([] { (void)make_server_context(made().server("old")); }, {"old.pem", "expired"});
  options = {};
  options.from_s = 600;
  made().issue("young", options);
  expect_refused([] { (void)make_server_context(made().server("young")); }, {"young.pem", "not valid before"});
}

TEST_F(TlsContext, ClientTrustsTheSystemOrAFile) {
  EXPECT_NO_THROW((void)make_client_context({}));
  EXPECT_NO_THROW((void)make_client_context(made().client()));
  auto options = made().client();
  options.private_key_file = made().key("client");
  expect_refused([&] { (void)make_client_context(options); }, {"client.key", "certificate_file"});
}

TEST_F(TlsContext, ChecksHostsByNameOrAddress) {
  const auto context = make_client_context(made().client());
  const auto sni = [&context](const std::string& host) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context->native_handle()), &SSL_free);
    check_host(ssl.get(), host);
    const char* const name = SSL_get_servername(ssl.get(), TLSEXT_NAMETYPE_host_name);
    return std::string(name == nullptr ? "" : name);
  };
  EXPECT_EQ(sni("worker.example"), "worker.example");
  EXPECT_EQ(sni("127.0.0.1"), "");
  EXPECT_EQ(sni("::1"), "");
  expect_refused([&] { (void)sni(""); }, {"neither"});
  expect_refused([&] { (void)sni(std::string(300, 'a')); }, {"neither"});
}

/// Both ends in this thread, over memory.
class Handshake {
 public:
  Handshake(asio::ssl::context& server, asio::ssl::context& client, const std::string& host)
      : server_(SSL_new(server.native_handle()), &SSL_free), client_(SSL_new(client.native_handle()), &SSL_free) {
    check_host(client_.get(), host);
    BIO* to_server = nullptr;
    BIO* to_client = nullptr;
    BIO_new_bio_pair(&to_server, 1 << 16, &to_client, 1 << 16);
    SSL_set_bio(server_.get(), to_server, to_server);
    SSL_set_bio(client_.get(), to_client, to_client);
    SSL_set_accept_state(server_.get());
    SSL_set_connect_state(client_.get());
  }

  /// The code of the side that fails first, or that of the client's first read; nothing when all is well.
  std::optional<Error> run() {
    for (int turn = 0; turn < 10; ++turn) {
      for (auto* const side : {client_.get(), server_.get()}) {
        char byte = 0;
        const int done = SSL_is_init_finished(side) != 0 ? SSL_read(side, &byte, 1) : SSL_do_handshake(side);
        if (done > 0 || SSL_get_error(side, done) != SSL_ERROR_SSL) continue;
        const boost::system::error_code code(static_cast<int>(ERR_get_error()), asio::error::get_ssl_category());
        ERR_clear_error();
        return tls_error(side, code, "handshake");
      }
    }
    EXPECT_TRUE(SSL_is_init_finished(server_.get()) != 0 && SSL_is_init_finished(client_.get()) != 0);
    return std::nullopt;
  }
  [[nodiscard]] std::string version() const { return SSL_get_version(client_.get()); }

 private:
  std::unique_ptr<SSL, decltype(&SSL_free)> server_;
  std::unique_ptr<SSL, decltype(&SSL_free)> client_;
};

TEST_F(TlsContext, EndsMeetWithTls13) {
  const auto server = make_server_context(made().server("server"));
  const auto client = make_client_context(made().client());
  for (const std::string host : {"localhost", "127.0.0.1", "::1"}) {
    Handshake handshake(*server, *client, host);
    const auto error = handshake.run();
    EXPECT_FALSE(error) << host << ": " << error->what();
    EXPECT_EQ(handshake.version(), "TLSv1.3");
  }
}

TEST_F(TlsContext, ClientRefusesAnotherHostAndAnUnknownAuthority) {
  const auto server = make_server_context(made().server("server"));
  const auto client = make_client_context(made().client());
  for (const std::string host : {"elsewhere.example", "127.0.0.2"}) {
    const auto error = Handshake(*server, *client, host).run();
    ASSERT_TRUE(error) << host;
    EXPECT_EQ(error->code(), ErrorCode::unauthenticated);
    EXPECT_NE(std::string(error->what()).find("mismatch"), std::string::npos) << error->what();
  }
  const auto stranger = make_client_context({});
  const auto error = Handshake(*server, *stranger, "localhost").run();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
}

TEST_F(TlsContext, ServerRefusesClientsWithoutTheRightCertificate) {
  auto with_clients = made().server("server");
  with_clients.client_ca_file = made().certificate("ca");
  const auto server = make_server_context(with_clients);
  CertificateOptions self_made;
  made().make("stranger", self_made);
  auto known = made().client();
  known.certificate_file = made().certificate("client");
  known.private_key_file = made().key("client");
  auto unknown = made().client();
  unknown.certificate_file = made().certificate("stranger");
  unknown.private_key_file = made().key("stranger");
  EXPECT_FALSE(Handshake(*server, *make_client_context(known), "localhost").run());
  for (const auto& options : {made().client(), unknown}) {
    const auto error = Handshake(*server, *make_client_context(options), "localhost").run();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
  }
}

// A listener of ours would not start with such a certificate.
TEST_F(TlsContext, BothSidesRefuseACertificateOutOfItsTime) {
  const auto show = [](asio::ssl::context& context, const std::string& name) {
    SSL_CTX_use_certificate_file(context.native_handle(), made().certificate(name).c_str(), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(context.native_handle(), made().key(name).c_str(), SSL_FILETYPE_PEM);
  };
  CertificateOptions expired;
  expired.until_s = -60;
  made().issue("expired", expired);
  CertificateOptions early;
  early.from_s = 600;
  made().issue("early", early);
  auto with_clients = made().server("server");
  with_clients.client_ca_file = made().certificate("ca");
  for (const std::string name : {"expired", "early"}) {
    const auto server = make_server_context(made().server("server"));
    show(*server, name);
    auto error = Handshake(*server, *make_client_context(made().client()), "localhost").run();
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
    const auto client = make_client_context(made().client());
    show(*client, name);
    error = Handshake(*make_server_context(with_clients), *client, "localhost").run();
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->code(), ErrorCode::unauthenticated) << error->what();
  }
}

TEST_F(TlsContext, OlderVersionsAreIncompatible) {
  const auto server = make_server_context(made().server("server"));
  const auto client = make_client_context(made().client());
  SSL_CTX_set_min_proto_version(client->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(client->native_handle(), TLS1_2_VERSION);
  const auto error = Handshake(*server, *client, "localhost").run();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::incompatible) << error->what();
}

}  // namespace
}  // namespace splitnet::detail
