// SPDX-License-Identifier: Apache-2.0
// Messages that follow one another on a socket, where it was accepted. Private.
#pragma once

#include <memory>

#include "buffer_pool.hpp"
#include "stream_listener.hpp"

namespace splitnet::detail {

std::shared_ptr<StreamProtocol> make_message_protocol(std::shared_ptr<ServedBy> by, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
