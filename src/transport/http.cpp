// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/http.hpp"

#include "http_transport.hpp"

namespace splitnet {

std::shared_ptr<Transport> make_http_transport(const HttpOptions& options) {
  const auto wrap = [](detail::StreamSocket socket) { return std::make_unique<detail::ByteStream>(std::move(socket)); };
  return detail::make_http_transport_over(
      {"http", [wrap](const std::string&) { return wrap; }, [] { return detail::WrapSocket(); }, false}, options);
}

}  // namespace splitnet
