// SPDX-License-Identifier: Apache-2.0
// TLS for raw peers: the bytes that travel are in the hands of the test.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <string_view>

#include "raw_peer.hpp"
#include "splitnet/transport/tls.hpp"

namespace splitnet::testing {

/// Trusts everybody, and shows the certificate of its options, if any, whatever is wrong with it.
class TlsCipher : public Cipher {
 public:
  enum class Side { connecting, listening };

  TlsCipher(Side side, const TlsOptions& options)
      : context_(SSL_CTX_new(TLS_method()), &SSL_CTX_free), ssl_(nullptr, &SSL_free) {
    if (!options.certificate_file.empty()) {
      EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context_.get(), options.certificate_file.c_str()), 1);
      EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context_.get(), options.private_key_file.c_str(), SSL_FILETYPE_PEM), 1);
    }
    SSL_CTX_set_num_tickets(context_.get(), 0);
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    side == Side::connecting ? SSL_set_connect_state(ssl_.get()) : SSL_set_accept_state(ssl_.get());
  }

  void shake_hands(int descriptor) override {
    for (;;) {
      const int done = SSL_do_handshake(ssl_.get());
      const int error = SSL_get_error(ssl_.get(), done);
      ERR_clear_error();
      const auto sealed = take();
      said_ += sealed;
      (void)!::send(descriptor, sealed.data(), sealed.size(), MSG_NOSIGNAL);
      if (error != SSL_ERROR_WANT_READ) return;
      char part[4096];
      const auto got = ::recv(descriptor, part, sizeof part, 0);
      if (got <= 0) return;
      BIO_write(SSL_get_rbio(ssl_.get()), part, static_cast<int>(got));
    }
  }
  std::string seal(std::string_view plain) override {
    if (!plain.empty()) (void)SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
    ERR_clear_error();
    auto sealed = take();
    said_ += sealed;
    return sealed;
  }
  std::string open(std::string_view sealed) override {
    if (!sealed.empty()) BIO_write(SSL_get_rbio(ssl_.get()), sealed.data(), static_cast<int>(sealed.size()));
    std::string plain;
    char part[4096];
    for (int got = 0; (got = SSL_read(ssl_.get(), part, sizeof part)) > 0;) plain.append(part, got);
    ERR_clear_error();
    return plain;
  }
  /// Every byte of this side so far, as it travelled.
  const std::string& said() const { return said_; }

 private:
  std::string take() {
    BIO* const out = SSL_get_wbio(ssl_.get());
    std::string sealed(BIO_ctrl_pending(out), '\0');
    if (!sealed.empty()) BIO_read(out, sealed.data(), static_cast<int>(sealed.size()));
    return sealed;
  }

  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_;
  std::string said_;
};

}  // namespace splitnet::testing
