// SPDX-License-Identifier: Apache-2.0
// What http: and https: have in common. Private.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "splitnet/transport/http.hpp"
#include "tcp_road.hpp"

namespace splitnet::detail {

/// How the sockets of a scheme are made; the host is that of the endpoint.
struct HttpSockets {
  std::string scheme;
  std::function<WrapSocket(const std::string& host)> connecting;
  std::function<WrapSocket()> listening;  ///< Gives none where nothing is encrypted.
  bool is_encrypted = false;
};

std::shared_ptr<Transport> make_http_transport_over(HttpSockets sockets, const HttpOptions& options);

}  // namespace splitnet::detail
