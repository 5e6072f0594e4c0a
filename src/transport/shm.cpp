// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/shm.hpp"

#include "caller.hpp"
#include "shm_dialer.hpp"
#include "shm_endpoint.hpp"
#include "shm_listener.hpp"

namespace splitnet {
namespace {

/// Far beyond any machine, and far from where sums wrap.
constexpr std::size_t kMostArenaBytes = std::size_t{1} << 46;

/// A checksum would have to be taken of bytes that can change behind it, and of zeros that are not there.
template <class Options>
Options without_payload_checksum(Options options) {
  options.payload_checksum = false;
  return options;
}

class ShmTransport : public Transport {
 public:
  explicit ShmTransport(const ShmOptions& options)
      : options_(options), pool_(std::make_shared<detail::BufferPool>(options.receive_pool_bytes)) {
    if (options.arena_bytes > kMostArenaBytes) {
      throw Error(ErrorCode::invalid_argument, "ShmOptions::arena_bytes is " + std::to_string(options.arena_bytes) +
                                                   ", expected at most " + std::to_string(kMostArenaBytes));
    }
  }

  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    return detail::connect_by(detail::make_shm_dialer(detail::parse_shm_endpoint(endpoint), options, options_, pool_),
                              endpoint, without_payload_checksum(options));
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    return detail::shm_listen(detail::parse_shm_endpoint(endpoint), std::move(handler),
                              without_payload_checksum(options), options_, pool_);
  }

 private:
  const ShmOptions options_;
  const std::shared_ptr<detail::BufferPool> pool_;
};

}  // namespace

std::shared_ptr<Transport> make_shm_transport(const ShmOptions& options) {
  return std::make_shared<ShmTransport>(options);
}

}  // namespace splitnet
