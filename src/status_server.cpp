// SPDX-License-Identifier: Apache-2.0
#include "splitnet/status_server.hpp"

#include <utility>

#include "status_peer.hpp"
#include "transport/tcp_road.hpp"

namespace splitnet {
namespace {

detail::TcpEndpoint parse(const std::string& endpoint) {
  return detail::parse_tcp_endpoint("http", endpoint.starts_with("http://") ? endpoint : "http://" + endpoint);
}

void check_reach(const detail::TcpEndpoint& endpoint) {
  for (const auto& address : detail::resolve(endpoint)) {
    if (detail::is_loopback(address.address())) continue;
    throw Error(ErrorCode::invalid_argument,
                "status pages at '" + endpoint.text + "': " + address.address().to_string() +
                    " can be reached from other machines, and whoever does can read them; expected a loopback address, "
                    "or consent (StatusOptions::allow_remote, --allow-remote-status)");
  }
}

}  // namespace

class StatusServer::Impl {
 public:
  Impl(const detail::TcpEndpoint& endpoint, StatusPages pages, const StatusOptions& options) {
    ListenOptions listening;
    listening.max_connections = options.max_connections;
    listening.allow_remote = options.allow_remote;
    listener_ = detail::listen_on(std::make_shared<detail::TcpListeningRoad>(endpoint, listening),
                                  detail::make_status_protocol(std::move(pages), options),
                                  std::make_shared<detail::ServedBy>(nullptr, listening), 1);
  }
  [[nodiscard]] Listener& listener() const { return *listener_; }

 private:
  std::unique_ptr<Listener> listener_;
};

std::unique_ptr<StatusServer> StatusServer::start(const std::string& endpoint, StatusPages pages,
                                                  const StatusOptions& options) {
  const auto parsed = parse(endpoint);
  if (!options.allow_remote) check_reach(parsed);
  return std::unique_ptr<StatusServer>(new StatusServer(std::make_unique<Impl>(parsed, std::move(pages), options)));
}

StatusServer::StatusServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StatusServer::~StatusServer() {
  close();
}

std::string StatusServer::address() const {
  return impl_->listener().address();
}
void StatusServer::close() {
  impl_->listener().close();
}

}  // namespace splitnet
