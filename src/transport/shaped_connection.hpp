// SPDX-License-Identifier: Apache-2.0
// The connecting side of the shaped transport, where all shaping is done. Private.
#pragma once

#include <memory>
#include <string>

#include "splitnet/transport/shaped.hpp"

namespace splitnet::detail {

struct ShapedRoute {
  std::string inner;  ///< The endpoint for the inner transport.
  std::string text;   ///< The endpoint as the user wrote it, for messages.
};

/// Throws as `connect` of the inner transport. `shape` is valid.
std::unique_ptr<Connection> shaped_connect(Transport& inner, const ShapedRoute& route, const ShapedOptions& shape,
                                           const ConnectOptions& options);

}  // namespace splitnet::detail
