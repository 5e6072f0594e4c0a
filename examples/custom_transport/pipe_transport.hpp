// SPDX-License-Identifier: Apache-2.0
// `pipe:///folder`: two processes of one user that share a folder, say a volume of two containers.
#pragma once

#include <memory>
#include <splitnet/transport.hpp>

namespace custom {

/// Who may use the folder may call: a listener with a token is refused (invalid_argument), and a caller's token is not
/// looked at. A connection that is lost stays lost. Not limited: rates, and the time that a message takes.
std::shared_ptr<splitnet::Transport> make_pipe_transport();

}  // namespace custom
