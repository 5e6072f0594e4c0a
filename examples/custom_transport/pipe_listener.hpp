// SPDX-License-Identifier: Apache-2.0
// The answering side.
#pragma once

#include <filesystem>
#include <memory>
#include <splitnet/transport.hpp>

namespace custom {

/// With a thread of its own, and one for each connection.
std::unique_ptr<splitnet::Listener> listen_at_pipe(const std::filesystem::path& folder, splitnet::Handler handler,
                                                   const splitnet::ListenOptions& options);

}  // namespace custom
