// SPDX-License-Identifier: Apache-2.0
#include "tls_road.hpp"

#include <new>
#include <utility>

#include "asio_ssl.hpp"
#include "tls_context.hpp"
#include "tls_stream.hpp"

namespace splitnet::detail {
namespace {

SslPtr new_ssl(asio::ssl::context& context) {
  SslPtr ssl(SSL_new(context.native_handle()));
  if (!ssl) throw std::bad_alloc();
  return ssl;
}

}  // namespace

WrapSocket tls_client_wrap(const TlsOptions& options, const std::string& host) {
  const std::string name = options.server_name.empty() ? host : options.server_name;
  return [context = make_client_context(options), name](StreamSocket socket) {
    auto ssl = new_ssl(*context);
    SSL_set_connect_state(ssl.get());
    check_host(ssl.get(), name);
    return std::make_unique<TlsStream>(std::move(socket), std::move(ssl));
  };
}

WrapSocket tls_server_wrap(const TlsOptions& options) {
  return [context = make_server_context(options)](StreamSocket socket) {
    auto ssl = new_ssl(*context);
    SSL_set_accept_state(ssl.get());
    return std::make_unique<TlsStream>(std::move(socket), std::move(ssl));
  };
}

}  // namespace splitnet::detail
