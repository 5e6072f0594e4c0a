// SPDX-License-Identifier: Apache-2.0
// "http://host:port/path" and "https://host:port/path". Private.
#pragma once

#include <string>

#include "tcp_endpoint.hpp"

namespace splitnet::detail {

struct HttpEndpoint {
  TcpEndpoint tcp;   ///< Its text is the whole endpoint, as the user wrote it.
  std::string path;  ///< Begins with '/'.
  std::string host;  ///< As the field Host has it: the port only where it is not the scheme's own.
};

/// `scheme`: http or https. Throws invalid_argument.
HttpEndpoint parse_http_endpoint(const std::string& scheme, const std::string& text);

}  // namespace splitnet::detail
