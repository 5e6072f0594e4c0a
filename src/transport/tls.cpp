// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tls.hpp"

#include <utility>

#include "caller.hpp"
#include "tls_road.hpp"

namespace splitnet {
namespace {

class TlsTransport : public Transport {
 public:
  TlsTransport(TlsOptions tls, const SocketOptions& options)
      : tls_(std::move(tls)),
        options_(options),
        pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    const auto parsed = detail::parse_tcp_endpoint("tls", endpoint);
    const auto road = detail::tcp_road(parsed, options, detail::tls_client_wrap(tls_, parsed.host));
    return detail::connect_by(detail::make_stream_dialer(road, options, pool_), endpoint,
                              detail::without_checksum(options));
  }

  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    const auto parsed = detail::parse_tcp_endpoint("tls", endpoint);
    const auto road = std::make_shared<detail::TcpListeningRoad>(parsed, options, detail::tls_server_wrap(tls_));
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
