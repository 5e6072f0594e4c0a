// SPDX-License-Identifier: Apache-2.0
/// \file
/// Schemes and the transports behind them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "splitnet/transport.hpp"
#include "splitnet/transport/tls.hpp"

namespace splitnet {

/// Maps the scheme of an endpoint ("tcp://127.0.0.1:7070" → "tcp") to a transport. A plain object: make
/// one, add what you want, hand it to sessions and workers. Adding is not thread-safe; the rest is.
class TransportRegistry {
 public:
  TransportRegistry() = default;
  /// With every transport that this build of the library has. `shaped` finds the others behind its '@', but not
  /// those that are added later. `tls`: for those that encrypt.
  static TransportRegistry with_defaults(const TlsOptions& tls = {});

  /// Replaces a transport of the same scheme.
  void add(std::string scheme, std::shared_ptr<Transport> transport);
  [[nodiscard]] std::vector<std::string> schemes() const;
  /// By scheme, for transports that stand in front of others.
  [[nodiscard]] const std::map<std::string, std::shared_ptr<Transport>>& transports() const noexcept {
    return transports_;
  }

  /// Throws invalid_argument for an endpoint without a scheme or with an unknown one (naming the known
  /// ones), otherwise as Transport.
  [[nodiscard]] std::unique_ptr<Connection> connect(const std::string& endpoint,
                                                    const ConnectOptions& options = {}) const;
  [[nodiscard]] std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                                 const ListenOptions& options = {}) const;

 private:
  [[nodiscard]] Transport& find(const std::string& endpoint) const;
  std::map<std::string, std::shared_ptr<Transport>> transports_;
};

}  // namespace splitnet
