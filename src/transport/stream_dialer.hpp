// SPDX-License-Identifier: Apache-2.0
// Opens sockets. Private to the stream transports.
#pragma once

#include <string>
#include <vector>

#include "buffer_pool.hpp"
#include "byte_stream.hpp"
#include "dialer.hpp"

namespace splitnet::detail {

/// One road of stream sockets: where it leads, and what is done with a socket that has been opened.
struct StreamRoad {
  std::string endpoint;  ///< As the user wrote it, for messages.
  /// Throws unavailable. May block: only the thread of the connection waits.
  std::function<std::vector<StreamEndpoint>()> resolve;
  std::function<std::unique_ptr<ByteStream>(StreamSocket)> wrap;
};

MakeDialer make_stream_dialer(StreamRoad road, const ConnectOptions& options, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
