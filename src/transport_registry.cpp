// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport_registry.hpp"

#include <utility>

#include "splitnet/transport/http.hpp"
#include "splitnet/transport/inproc.hpp"
#include "splitnet/transport/shaped.hpp"
#include "splitnet/transport/shm.hpp"
#include "splitnet/transport/tcp.hpp"
#include "splitnet/transport/unix.hpp"
#include "text.hpp"

namespace splitnet {

TransportRegistry TransportRegistry::with_defaults([[maybe_unused]] const TlsOptions& tls) {
  TransportRegistry registry;
  registry.add("inproc", make_inproc_transport());
  registry.add("shm", make_shm_transport());
  registry.add("tcp", make_tcp_transport());
  registry.add("unix", make_unix_transport());
#ifdef SPLITNET_WITH_TLS
  registry.add("tls", make_tls_transport(tls));
#endif
#ifdef SPLITNET_WITH_HTTP
  registry.add("http", make_http_transport());
#ifdef SPLITNET_WITH_TLS
  registry.add("https", make_https_transport(tls));
#endif
#endif
  registry.add("shaped", make_shaped_transport(registry.transports_));  // The others, so no cycle.
  return registry;
}

void TransportRegistry::add(std::string scheme, std::shared_ptr<Transport> transport) {
  if (scheme.empty() || scheme.find(':') != std::string::npos || !transport) {
    throw Error(ErrorCode::invalid_argument,
                "transport registry: a scheme is a word without ':' and needs a transport; found '" + scheme + "'");
  }
  transports_.insert_or_assign(std::move(scheme), std::move(transport));
}

std::vector<std::string> TransportRegistry::schemes() const {
  std::vector<std::string> names;
  names.reserve(transports_.size());
  for (const auto& [scheme, transport] : transports_) names.push_back(scheme);
  return names;
}

Transport& TransportRegistry::find(const std::string& endpoint) const {
  const auto colon = endpoint.find("://");
  const auto found = colon == std::string::npos ? transports_.end() : transports_.find(endpoint.substr(0, colon));
  if (found != transports_.end()) return *found->second;
  const std::string known = detail::joined(schemes());
  throw Error(ErrorCode::invalid_argument,
              "endpoint '" + endpoint + "': " + (colon == std::string::npos ? "no scheme" : "unknown scheme") +
                  "; expected scheme://… with one of: " + (known.empty() ? "(none registered)" : known));
}

std::unique_ptr<Connection> TransportRegistry::connect(const std::string& endpoint,
                                                       const ConnectOptions& options) const {
  return find(endpoint).connect(endpoint, options);
}

std::unique_ptr<Listener> TransportRegistry::listen(const std::string& endpoint, Handler handler,
                                                    const ListenOptions& options) const {
  return find(endpoint).listen(endpoint, std::move(handler), options);
}

}  // namespace splitnet
