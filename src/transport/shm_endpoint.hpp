// SPDX-License-Identifier: Apache-2.0
// "shm://name" and "shm:///path". Private to the shm transport.
#pragma once

#include <string>

#include "unix_socket.hpp"

namespace splitnet::detail {

/// Where the two sides meet. Names are found by processes of this user. Throws invalid_argument.
UnixAddress parse_shm_endpoint(const std::string& text);

}  // namespace splitnet::detail
