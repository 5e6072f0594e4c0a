// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tcp.hpp"

#include "caller.hpp"
#include "stream_dialer.hpp"
#include "stream_listener.hpp"
#include "tcp_road.hpp"

namespace splitnet {
namespace {

class TcpTransport : public Transport {
 public:
  explicit TcpTransport(const SocketOptions& options)
      : options_(options), pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    const auto parsed = detail::parse_tcp_endpoint("tcp", endpoint);
    const auto road = detail::tcp_road(parsed, options, [](detail::StreamSocket socket) {
      return std::make_unique<detail::ByteStream>(std::move(socket));
    });
    return detail::connect_by(detail::make_stream_dialer(road, options, pool_), endpoint, options);
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    const auto road = std::make_shared<detail::TcpListeningRoad>(detail::parse_tcp_endpoint("tcp", endpoint), options);
    return detail::listen_on(road, std::move(handler), options, options_.listener_threads, pool_);
  }

 private:
  const SocketOptions options_;
  const std::shared_ptr<detail::BufferPool> pool_;
};

}  // namespace

std::shared_ptr<Transport> make_tcp_transport(const SocketOptions& options) {
  return std::make_shared<TcpTransport>(options);
}

}  // namespace splitnet
