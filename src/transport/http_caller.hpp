// SPDX-License-Identifier: Apache-2.0
// The calling side of HTTP. Private.
#pragma once

#include <memory>

#include "buffer_pool.hpp"
#include "http_endpoint.hpp"
#include "splitnet/transport.hpp"
#include "stream_opener.hpp"

namespace splitnet::detail {

/// A connection with a thread of its own and `max_sockets` keep-alive sockets at most. Throws what the first attempt
/// to open one ends with.
std::unique_ptr<Connection> connect_http(StreamRoad road, const HttpEndpoint& endpoint, const ConnectOptions& options,
                                         std::size_t max_sockets, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
