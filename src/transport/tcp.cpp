// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tcp.hpp"

#include "tcp_parts.hpp"

namespace splitnet {
namespace {

class TcpTransport : public Transport {
 public:
  explicit TcpTransport(const TcpOptions& options)
      : options_(options), pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    return detail::tcp_connect(endpoint, options, pool_);
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    return detail::tcp_listen(endpoint, std::move(handler), options, options_, pool_);
  }

 private:
  const TcpOptions options_;
  const std::shared_ptr<detail::BufferPool> pool_;
};

}  // namespace

std::shared_ptr<Transport> make_tcp_transport(const TcpOptions& options) {
  return std::make_shared<TcpTransport>(options);
}

}  // namespace splitnet
