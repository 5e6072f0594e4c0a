// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tls.hpp"

#include <utility>

#include "asio_ssl.hpp"
#include "caller.hpp"
#include "tcp_road.hpp"
#include "tls_context.hpp"
#include "tls_stream.hpp"

namespace splitnet {
namespace {

using detail::StreamSocket;

detail::SslPtr new_ssl(detail::asio::ssl::context& context) {
  detail::SslPtr ssl(SSL_new(context.native_handle()));
  if (!ssl) throw std::bad_alloc();
  return ssl;
}

class TlsTransport : public Transport {
 public:
  TlsTransport(TlsOptions tls, const SocketOptions& options)
      : tls_(std::move(tls)),
        options_(options),
        pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    const auto parsed = detail::parse_tcp_endpoint("tls", endpoint);
    const auto context = detail::make_client_context(tls_);
    const std::string host = tls_.server_name.empty() ? parsed.host : tls_.server_name;
    const auto road = detail::tcp_road(parsed, options, [context, host](StreamSocket socket) {
      auto ssl = new_ssl(*context);
      SSL_set_connect_state(ssl.get());
      detail::check_host(ssl.get(), host);
      return std::make_unique<detail::TlsStream>(std::move(socket), std::move(ssl));
    });
    return detail::connect_by(detail::make_stream_dialer(road, options, pool_), endpoint,
                              detail::without_checksum(options));
  }

  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    const auto parsed = detail::parse_tcp_endpoint("tls", endpoint);
    const auto context = detail::make_server_context(tls_);
    const auto road = std::make_shared<detail::TcpListeningRoad>(parsed, options, [context](StreamSocket socket) {
      auto ssl = new_ssl(*context);
      SSL_set_accept_state(ssl.get());
      return std::make_unique<detail::TlsStream>(std::move(socket), std::move(ssl));
    });
    return detail::listen_on(road, std::move(handler), detail::without_checksum(options), options_.listener_threads,
                             pool_);
  }

 private:
  const TlsOptions tls_;
  const SocketOptions options_;
  const std::shared_ptr<detail::BufferPool> pool_;
};

}  // namespace

std::shared_ptr<Transport> make_tls_transport(const TlsOptions& tls, const SocketOptions& options) {
  return std::make_shared<TlsTransport>(tls, options);
}

}  // namespace splitnet
