// SPDX-License-Identifier: Apache-2.0
// Every transport of the library, for tests that run over several of them.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "raw_peer.hpp"
#include "splitnet/transport_registry.hpp"
#ifdef SPLITNET_WITH_TLS
#include "certificates.hpp"
#include "tls_cipher.hpp"
#endif

namespace splitnet::testing {

#ifdef SPLITNET_WITH_TLS
/// One certificate for both sides, of an authority that both trust. Processes that a test starts have it too.
inline TlsOptions tls_options() {
  constexpr const char* variable = "SPLITNET_TEST_CERTIFICATES";
  static const std::string folder = [] {
    if (const char* const inherited = std::getenv(variable)) return std::string(inherited);
    static const Certificates made;
    made.issue("server");
    ::setenv(variable, made.path("").c_str(), 1);
    return made.path("");
  }();
  TlsOptions options;
  options.certificate_file = folder + "server.pem";
  options.private_key_file = folder + "server.key";
  options.ca_file = folder + "ca.pem";
  return options;
}
inline TransportRegistry all_transports() {
  return TransportRegistry::with_defaults(tls_options());
}
inline std::unique_ptr<Cipher> cipher_for(const std::string& endpoint, TlsCipher::Side side) {
  if (!endpoint.starts_with("tls")) return nullptr;
  return std::make_unique<TlsCipher>(side, tls_options());
}
inline std::unique_ptr<Cipher> connecting_cipher(const std::string& endpoint) {
  return cipher_for(endpoint, TlsCipher::Side::connecting);
}
inline std::unique_ptr<Cipher> listening_cipher(const std::string& endpoint) {
  return cipher_for(endpoint, TlsCipher::Side::listening);
}
inline std::vector<std::string> tls_endpoints() {
  return {"tls://127.0.0.1:0"};
}
#else
inline TransportRegistry all_transports() {
  return TransportRegistry::with_defaults();
}
inline std::unique_ptr<Cipher> connecting_cipher(const std::string&) {
  return nullptr;
}
inline std::unique_ptr<Cipher> listening_cipher(const std::string&) {
  return nullptr;
}
inline std::vector<std::string> tls_endpoints() {
  return {};
}
#endif

/// One endpoint of every transport over stream sockets; others than those of processes beside this one.
inline std::vector<std::string> stream_endpoints(const std::string& name) {
  std::vector<std::string> endpoints = {"tcp://127.0.0.1:0",
                                        "unix://@splitnet_" + name + "_" + std::to_string(::getpid())};
  for (const auto& endpoint : tls_endpoints()) endpoints.push_back(endpoint);
  return endpoints;
}
/// One of every transport.
inline std::vector<std::string> all_endpoints(const std::string& name) {
  auto endpoints = stream_endpoints(name);
  endpoints.push_back("inproc://" + name);
  endpoints.push_back("shm://test-" + name + "-" + std::to_string(::getpid()));
  endpoints.push_back("shaped://@tcp://127.0.0.1:0");
  for (const auto& scheme : all_transports().schemes()) {
    if (scheme.starts_with("http")) endpoints.push_back(scheme + "://127.0.0.1:0");
  }
  return endpoints;
}
/// For the names of parametrised tests.
inline std::string scheme_of(const std::string& endpoint) {
  return endpoint.substr(0, endpoint.find(':'));
}

}  // namespace splitnet::testing
