// SPDX-License-Identifier: Apache-2.0
#include "tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <cerrno>
#include <fstream>

#include "asio_ssl.hpp"

namespace splitnet::detail {
namespace {

using Context = asio::ssl::context;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "TLS: " + what);
}

/// OpenSSL's own reason, the innermost of those that it has collected.
std::string reason_of_failure() {
  const auto code = ERR_peek_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

void check_readable(const std::string& kind, const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  if (!file && (errno == EMFILE || errno == ENFILE)) {
    throw Error(ErrorCode::overloaded, "TLS: " + kind + " '" + path + "': no descriptor is free to read it");
  }
  if (!file || file.peek() == std::ifstream::traits_type::eof()) {
    refuse(kind + " '" + path + "': can't be read, or is empty");
  }
}

/// For a key with a passphrase OpenSSL would ask on the terminal.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

std::string to_text(const ASN1_TIME* time) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> memory(BIO_new(BIO_s_mem()), &BIO_free);
  std::array<char, 64> text{};
  if (memory && ASN1_TIME_print(memory.get(), time) == 1) BIO_read(memory.get(), text.data(), text.size() - 1);
  return text.data();
}

void check_time(const X509* certificate, const std::string& path) {
  const auto* const from = X509_get0_notBefore(certificate);
  const auto* const until = X509_get0_notAfter(certificate);
  if (X509_cmp_current_time(until) < 0) refuse("certificate file '" + path + "': expired at " + to_text(until));
  if (X509_cmp_current_time(from) > 0) refuse("certificate file '" + path + "': not valid before " + to_text(from));
}

void use_certificate(SSL_CTX* context, const TlsOptions& options) {
  const auto& certificate = options.certificate_file;
  const auto& key = options.private_key_file;
  check_readable("certificate file", certificate);
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
    refuse("certificate file '" + certificate + "': not a certificate in PEM format (" + reason_of_failure() + ")");
  }
  check_time(SSL_CTX_get0_certificate(context), certificate);
  if (key.empty())
    refuse("certificate file '" + certificate + "': its key is missing (TlsOptions::private_key_file, --key)");
  check_readable("private key file", key);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  // The key is compared with the certificate here already, on some paths of OpenSSL only.
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const auto code = ERR_peek_error();
    const bool misfit = ERR_GET_LIB(code) == ERR_LIB_X509 && (ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH ||
                                                              ERR_GET_REASON(code) == X509_R_KEY_TYPE_MISMATCH);
    const auto reason = reason_of_failure();
    if (!misfit) {
      refuse("private key file '" + key + "': not a key without passphrase in PEM format (" + reason + ")");
    }
    refuse("private key file '" + key + "': does not fit the certificate in '" + certificate + "'");
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    refuse("private key file '" + key + "': does not fit the certificate in '" + certificate + "'");
  }
}

void trust(SSL_CTX* context, const std::string& kind, const std::string& path) {
  check_readable(kind, path);
  if (SSL_CTX_load_verify_file(context, path.c_str()) != 1) {
    refuse(kind + " '" + path + "': no certificates in PEM format (" + reason_of_failure() + ")");
  }
}

std::shared_ptr<Context> make_context(Context::method method) {
  auto context = std::make_shared<Context>(method);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_3_VERSION);
  SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  return context;
}

bool is_about_certificates(int reason) {
  // Alerts of the other side are numbered from 1000 on (RFC 8446, section 6).
  switch (reason - SSL_AD_REASON_OFFSET) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
  }
}

bool is_about_protocol(int reason) {
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_BAD_LEGACY_VERSION:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return true;
    default: return false;
  }
}

}  // namespace

std::shared_ptr<Context> make_server_context(const TlsOptions& options) {
  if (options.certificate_file.empty()) {
    refuse("a listener needs a certificate (TlsOptions::certificate_file, --certificate)");
  }
  auto context = make_context(Context::tls_server);
  auto* const native = context->native_handle();
  use_certificate(native, options);
  SSL_CTX_set_num_tickets(native, 0);
  if (options.client_ca_file.empty()) return context;
  trust(native, "client CA file", options.client_ca_file);
  // Their names go to the client, which may have several certificates to choose from.
  SSL_CTX_set_client_CA_list(native, SSL_load_client_CA_file(options.client_ca_file.c_str()));
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

std::shared_ptr<Context> make_client_context(const TlsOptions& options) {
  auto context = make_context(Context::tls_client);
  auto* const native = context->native_handle();
  if (!options.ca_file.empty()) {
    trust(native, "CA file", options.ca_file);
  } else if (SSL_CTX_set_default_verify_paths(native) != 1) {
    refuse("the certificates that this system trusts can't be read (" + reason_of_failure() + ")");
  }
  SSL_CTX_set_verify(native, SSL_VERIFY_PEER, nullptr);
  if (!options.certificate_file.empty()) {
    use_certificate(native, options);
  } else if (!options.private_key_file.empty()) {
    refuse("private key file '" + options.private_key_file +
           "': its certificate is missing (TlsOptions::certificate_file, --certificate)");
  }
  return context;
}

void check_host(SSL* ssl, const std::string& host) {
  // An address is compared with the addresses of the certificate, and is not sent as a name (RFC 6066, section 3).
  if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1) return;
  ERR_clear_error();
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (host.empty() || SSL_set1_host(ssl, host.c_str()) != 1 || SSL_set_tlsext_host_name(ssl, host.c_str()) != 1) {
    ERR_clear_error();
    refuse("'" + host + "' is neither a host name nor an IP address");
  }
}

Error tls_error(const SSL* ssl, const boost::system::error_code& error, const std::string& what) {
  const bool from_tls = error.category() == asio::error::get_ssl_category();
  const auto verified = SSL_get_verify_result(ssl);
  if (from_tls && verified != X509_V_OK) {
    return Error(ErrorCode::unauthenticated, what + ": the certificate of the other side is refused (" +
                                                 X509_verify_cert_error_string(verified) + ")");
  }
  const int reason = from_tls ? ERR_GET_REASON(static_cast<unsigned long>(error.value())) : 0;
  if (is_about_certificates(reason)) {
    return Error(ErrorCode::unauthenticated,
                 what + ": the other side wants another certificate (" + error.message() + ")");
  }
  if (is_about_protocol(reason)) {
    return Error(ErrorCode::incompatible,
                 what + ": the other side does not speak TLS 1.3, which is expected (" + error.message() + ")");
  }
  const bool ended = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
  return Error(ErrorCode::unavailable, what + ": " + (ended ? "closed by the peer" : error.message()));
}

}  // namespace splitnet::detail
