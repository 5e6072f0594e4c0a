// SPDX-License-Identifier: Apache-2.0
// The two ends of the TCP transport. Private.
#pragma once

#include <memory>
#include <string>

#include "buffer_pool.hpp"
#include "splitnet/transport/tcp.hpp"

namespace splitnet::detail {

std::unique_ptr<Connection> tcp_connect(const std::string& endpoint, const ConnectOptions& options,
                                        std::shared_ptr<BufferPool> pool);
std::unique_ptr<Listener> tcp_listen(const std::string& endpoint, Handler handler, const ListenOptions& options,
                                     const TcpOptions& tcp, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
