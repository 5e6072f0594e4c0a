// SPDX-License-Identifier: Apache-2.0
// Opens channels over sockets. Private to the stream transports.
#pragma once

#include "buffer_pool.hpp"
#include "dialer.hpp"
#include "stream_opener.hpp"

namespace splitnet::detail {

MakeDialer make_stream_dialer(StreamRoad road, const ConnectOptions& options, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
