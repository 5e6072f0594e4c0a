// SPDX-License-Identifier: Apache-2.0
// HTTP on the sockets of a listener. Private.
#pragma once

#include <memory>
#include <string>

#include "buffer_pool.hpp"
#include "stream_listener.hpp"

namespace splitnet::detail {

/// Requests are taken at `path` only.
std::shared_ptr<StreamProtocol> make_http_protocol(std::shared_ptr<ServedBy> by, std::shared_ptr<BufferPool> pool,
                                                   std::string path);

}  // namespace splitnet::detail
