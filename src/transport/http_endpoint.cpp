// SPDX-License-Identifier: Apache-2.0
#include "http_endpoint.hpp"

#include <algorithm>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

// What a path may have besides '/', RFC 3986, section 3.3. No query: it would be another thing at the same path.
bool is_path_character(char c) {
  const std::string_view others = "-._~%!$&'()*+,;=:@/";
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         others.find(c) != std::string_view::npos;
}

bool has_port(const std::string& authority) {
  const auto colon = authority.rfind(':');
  const auto bracket = authority.rfind(']');
  return colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
}

}  // namespace

HttpEndpoint parse_http_endpoint(const std::string& scheme, const std::string& text) {
  const std::string prefix = scheme + "://";
  const std::string own_port = scheme == "https" ? "443" : "80";
  std::string authority = text;
  std::string path = "/";
  const auto slash = text.starts_with(prefix) ? text.find('/', prefix.size()) : std::string::npos;
  if (slash != std::string::npos) {
    authority = text.substr(0, slash);
    path = text.substr(slash);
  }
  if (!std::all_of(path.begin(), path.end(), is_path_character)) {
    throw Error(ErrorCode::invalid_argument, "endpoint '" + text + "': a character that a path can't have; expected " +
                                                 prefix + "host:port/path, without a query");
  }
  if (authority.starts_with(prefix) && authority.size() > prefix.size() && !has_port(authority.substr(prefix.size()))) {
    authority += ":" + own_port;
  }
  HttpEndpoint endpoint{parse_tcp_endpoint(scheme, authority), path, ""};
  endpoint.tcp.text = text;
  endpoint.host = authority.substr(prefix.size());
  if (endpoint.tcp.port == own_port) endpoint.host.resize(endpoint.host.rfind(':'));
  return endpoint;
}

}  // namespace splitnet::detail
