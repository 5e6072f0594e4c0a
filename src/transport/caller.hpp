// SPDX-License-Identifier: Apache-2.0
// The calling side of every transport whose peer is behind a channel. Private.
#pragma once

#include <memory>
#include <string>

#include "dialer.hpp"

namespace splitnet::detail {

/// A connection with a thread of its own; connects again as ConnectOptions::reconnect says. Throws what the first
/// attempt ends with.
std::unique_ptr<Connection> connect_by(const MakeDialer& make_dialer, const std::string& endpoint,
                                       const ConnectOptions& options);

}  // namespace splitnet::detail
