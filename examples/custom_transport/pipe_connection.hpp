// SPDX-License-Identifier: Apache-2.0
// The calling side.
#pragma once

#include <memory>
#include <splitnet/transport.hpp>
#include <string>

#include "pipes.hpp"

namespace custom {

/// With a thread of its own.
std::unique_ptr<splitnet::Connection> connect_by_pipe(Pipes pipes, const std::string& endpoint,
                                                      const splitnet::ConnectOptions& options);

}  // namespace custom
