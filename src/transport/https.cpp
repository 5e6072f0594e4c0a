// SPDX-License-Identifier: Apache-2.0
#include "http_transport.hpp"
#include "splitnet/transport/http.hpp"
#include "tls_road.hpp"

namespace splitnet {

std::shared_ptr<Transport> make_https_transport(const TlsOptions& tls, const HttpOptions& options) {
  return detail::make_http_transport_over(
      {"https", [tls](const std::string& host) { return detail::tls_client_wrap(tls, host); },
       [tls] { return detail::tls_server_wrap(tls); }, true},
      options);
}

}  // namespace splitnet
