// SPDX-License-Identifier: Apache-2.0
/// \file
/// Certificates and whom to trust, for every transport that encrypts, and `tls://host:port`: framed messages over TCP
/// with TLS. TLS 1.3 and nothing older.
#pragma once

#include <memory>
#include <string>

#include "splitnet/transport.hpp"
#include "splitnet/transport/socket_options.hpp"

namespace splitnet {

/// Files in PEM format, read when a transport connects or listens. A plain value.
/// A side that has a certificate shows it when it is asked for; a listener has to have one.
struct TlsOptions {
  /// Its own certificate, then those of the authorities between it and the root. Listening: required. Connecting: for
  /// listeners that want to see one.
  std::string certificate_file = {};
  /// The key of that certificate, without a passphrase.
  std::string private_key_file = {};
  /// Connecting: the authorities that may vouch for the server; empty: those that this system trusts.
  std::string ca_file = {};
  /// Listening: clients must show a certificate that one of these authorities vouches for; empty: none is asked for.
  std::string client_ca_file = {};
  /// Connecting: the name (or IP address) that the server's certificate must have; empty: the host of the endpoint.
  std::string server_name = {};

  friend bool operator==(const TlsOptions&, const TlsOptions&) = default;
};

/// Endpoints as of tcp://. A listener without a certificate is invalid_argument; a peer whose certificate is refused,
/// on either side, gets `unauthenticated` (a client's certificate is refused only with its first call).
std::shared_ptr<Transport> make_tls_transport(const TlsOptions& tls = {}, const SocketOptions& options = {});

}  // namespace splitnet
