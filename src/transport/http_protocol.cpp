// SPDX-License-Identifier: Apache-2.0
#include "http_protocol.hpp"

#include <utility>

#include "http_peer.hpp"

namespace splitnet::detail {
namespace {

class HttpProtocol : public StreamProtocol {
 public:
  explicit HttpProtocol(std::shared_ptr<HttpService> service) : service_(std::move(service)) {}

  std::shared_ptr<AcceptedPeer> serve(AcceptedStream accepted, AcceptedPeer::Gone gone) override {
    return std::make_shared<HttpPeer>(service_, std::move(accepted), std::move(gone), std::nullopt);
  }
  std::shared_ptr<AcceptedPeer> turn_away(AcceptedStream accepted, const Error& reason,
                                          AcceptedPeer::Gone gone) override {
    return std::make_shared<HttpPeer>(service_, std::move(accepted), std::move(gone), reason);
  }

 private:
  const std::shared_ptr<HttpService> service_;
};

}  // namespace

std::shared_ptr<StreamProtocol> make_http_protocol(std::shared_ptr<ServedBy> by, std::shared_ptr<BufferPool> pool,
                                                   std::string path) {
  return std::make_shared<HttpProtocol>(std::make_shared<HttpService>(std::move(by), std::move(pool), std::move(path)));
}

}  // namespace splitnet::detail
