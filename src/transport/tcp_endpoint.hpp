// SPDX-License-Identifier: Apache-2.0
// "SCHEME://host:port" and the addresses behind it. Private.
#pragma once

#include <string>
#include <vector>

#include "asio.hpp"

namespace splitnet::detail {

struct TcpEndpoint {
  std::string scheme;
  std::string text;  ///< As the user wrote it, for messages.
  std::string host;
  std::string port;
};

/// Throws invalid_argument.
TcpEndpoint parse_tcp_endpoint(const std::string& scheme, const std::string& text);
/// Throws unavailable when the name is unknown.
std::vector<asio::ip::tcp::endpoint> resolve(const TcpEndpoint& endpoint);
/// True for addresses that only this machine can reach.
bool is_loopback(const asio::ip::address& address);
std::string to_uri(const std::string& scheme, const asio::ip::tcp::endpoint& endpoint);

}  // namespace splitnet::detail
