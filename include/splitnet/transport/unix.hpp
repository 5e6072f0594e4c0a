// SPDX-License-Identifier: Apache-2.0
/// \file
/// `unix:///path` and `unix://@name`: framed messages over a Unix socket, between processes of one machine.
#pragma once

#include <memory>

#include "splitnet/transport.hpp"
#include "splitnet/transport/socket_options.hpp"

namespace splitnet {

/// `unix:///run/splitnet.sock` is a file: its permissions say who may connect (this user alone, until you change them);
/// one that a dead listener left behind is replaced, and it goes when the listener closes. `unix://@name` is a name
/// that goes with the process (Linux's abstract names); only this user and root may connect or listen under it, others
/// with the token.
std::shared_ptr<Transport> make_unix_transport(const SocketOptions& options = {});

}  // namespace splitnet
