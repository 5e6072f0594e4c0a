// SPDX-License-Identifier: Apache-2.0
// Contexts of OpenSSL made from TlsOptions, for every transport that encrypts. Private.
#pragma once

#include <memory>
#include <string>

#include "asio.hpp"
#include "splitnet/error.hpp"
#include "splitnet/transport/tls.hpp"

// As OpenSSL and Asio declare them: who only passes contexts on need not include their headers.
typedef struct ssl_st SSL;  // NOLINT(modernize-use-using)
namespace boost::asio::ssl {
class context;
}

namespace splitnet::detail {

/// TLS 1.3, its own certificate, and the authorities for clients. No session is resumed: every handshake proves who
/// is there. May be shared by threads. Throws invalid_argument naming the file and what is wrong with it: missing, not
/// PEM, a key that does not fit the certificate, a certificate that has expired or is not valid yet.
std::shared_ptr<asio::ssl::context> make_server_context(const TlsOptions& options);

/// TLS 1.3, checks the server's chain (`check_host` adds its name), and a certificate of its own where one is given.
/// Throws as make_server_context.
std::shared_ptr<asio::ssl::context> make_client_context(const TlsOptions& options);

/// Before the handshake of a client: asks for `host`, a name or an IP address without brackets, and accepts only a
/// certificate that names it. Throws invalid_argument for what can be neither.
void check_host(SSL* ssl, const std::string& host);

/// What the failure of a handshake, or of a first read, means for the caller: unauthenticated (a certificate was
/// refused, by this side or the other; the text says why), incompatible (no TLS, or an older one), else unavailable.
/// `what` is the beginning of the text. TLS 1.3 tells a client that its certificate was refused in the first read only.
Error tls_error(const SSL* ssl, const boost::system::error_code& error, const std::string& what);

}  // namespace splitnet::detail
