// SPDX-License-Identifier: Apache-2.0
/// \file
/// `tcp://host:port`: framed messages over TCP. Plain text: use it on this machine and on trusted links.
#pragma once

#include <memory>

#include "splitnet/transport.hpp"
#include "splitnet/transport/socket_options.hpp"

namespace splitnet {

/// Endpoints: `tcp://127.0.0.1:7070`, `tcp://[::1]:7070`, `tcp://name:7070`; port 0 lets `listen` choose.
/// A name is resolved by the system, whose own time-outs are not bounded by `connect_timeout`.
std::shared_ptr<Transport> make_tcp_transport(const SocketOptions& options = {});

}  // namespace splitnet
