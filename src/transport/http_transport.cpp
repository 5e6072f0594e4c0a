// SPDX-License-Identifier: Apache-2.0
#include "http_transport.hpp"

#include <utility>

#include "http_caller.hpp"
#include "http_endpoint.hpp"
#include "http_protocol.hpp"
#include "stream_listener.hpp"

namespace splitnet::detail {
namespace {

class HttpListeningRoad : public TcpListeningRoad {
 public:
  HttpListeningRoad(const HttpEndpoint& endpoint, const ListenOptions& options, WrapSocket wrap)
      : TcpListeningRoad(endpoint.tcp, options, std::move(wrap)), path_(endpoint.path) {}

  [[nodiscard]] std::string address(const StreamAcceptor& acceptor) const override {
    return TcpListeningRoad::address(acceptor) + (path_ == "/" ? "" : path_);
  }

 private:
  const std::string path_;
};

class HttpTransport : public Transport {
 public:
  HttpTransport(HttpSockets sockets, const HttpOptions& options)
      : sockets_(std::move(sockets)),
        options_(options),
        pool_(std::make_shared<BufferPool>(options.sockets.receive_pool_bytes)) {}

  std::unique_ptr<Connection> connect(const std::string& text, const ConnectOptions& options) override {
    const auto endpoint = parse_http_endpoint(sockets_.scheme, text);
    auto road = tcp_road(endpoint.tcp, options, sockets_.connecting(endpoint.tcp.host));
    return connect_http(std::move(road), endpoint, adapted(options), options_.max_sockets, pool_);
  }

  std::unique_ptr<Listener> listen(const std::string& text, Handler handler, const ListenOptions& options) override {
    const auto endpoint = parse_http_endpoint(sockets_.scheme, text);
    auto road = std::make_shared<HttpListeningRoad>(endpoint, options, sockets_.listening());
    auto by = std::make_shared<ServedBy>(std::move(handler), adapted(options));
    auto protocol = make_http_protocol(by, pool_, endpoint.path);
    return listen_on(std::move(road), std::move(protocol), std::move(by), options_.sockets.listener_threads);
  }

 private:
  template <class Options>
  Options adapted(const Options& options) const {
    return sockets_.is_encrypted ? without_checksum(options) : options;
  }

  const HttpSockets sockets_;
  const HttpOptions options_;
  const std::shared_ptr<BufferPool> pool_;
};

}  // namespace

std::shared_ptr<Transport> make_http_transport_over(HttpSockets sockets, const HttpOptions& options) {
  return std::make_shared<HttpTransport>(std::move(sockets), options);
}

}  // namespace splitnet::detail
