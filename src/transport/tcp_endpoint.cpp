// SPDX-License-Identifier: Apache-2.0
#include "tcp_endpoint.hpp"

#include <charconv>
#include <string_view>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

bool is_port(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number <= 65535;
}

}  // namespace

TcpEndpoint parse_tcp_endpoint(const std::string& scheme, const std::string& text) {
  const auto refuse = [&](const char* what) {
    throw Error(ErrorCode::invalid_argument, "endpoint '" + text + "': " + what + "; expected " + scheme +
                                                 "://host:port, for example " + scheme + "://127.0.0.1:7070");
  };
  const std::string prefix = scheme + "://";
  if (!text.starts_with(prefix)) refuse(("not a " + scheme + " endpoint").c_str());
  const auto rest = text.substr(prefix.size());
  const auto colon = rest.rfind(':');
  if (colon == std::string::npos) refuse("no port");
  TcpEndpoint endpoint{scheme, text, rest.substr(0, colon), rest.substr(colon + 1)};
  const bool bracketed = endpoint.host.starts_with('[') && endpoint.host.ends_with(']');
  if (bracketed) endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  if (endpoint.host.empty()) refuse("no host");
  if (!bracketed && endpoint.host.find(':') != std::string::npos) refuse("an IPv6 address needs brackets");
  if (endpoint.host.find_first_of("/[]@ ") != std::string::npos) refuse("not a host name");
  if (!is_port(endpoint.port)) refuse("the port is not a number from 0 to 65535");
  return endpoint;
}

std::vector<asio::ip::tcp::endpoint> resolve(const TcpEndpoint& endpoint) {
  asio::io_context context;
  boost::system::error_code error;
  const auto found = asio::ip::tcp::resolver(context).resolve(endpoint.host, endpoint.port,
                                                              asio::ip::tcp::resolver::numeric_service, error);
  if (error || found.empty()) {
    throw Error(ErrorCode::unavailable,
                "endpoint '" + endpoint.text + "': the host name is not known (" + error.message() + ")");
  }
  std::vector<asio::ip::tcp::endpoint> addresses;
  for (const auto& entry : found) addresses.push_back(entry.endpoint());
  return addresses;
}

bool is_loopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  }
  return address.is_loopback();
}

std::string to_uri(const std::string& scheme, const asio::ip::tcp::endpoint& endpoint) {
  const auto host = endpoint.address().to_string();
  return scheme + "://" + (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
         std::to_string(endpoint.port());
}

}  // namespace splitnet::detail
