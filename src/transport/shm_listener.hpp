// SPDX-License-Identifier: Apache-2.0
// Accepts connections over shared memory. Private to the shm transport.
#pragma once

#include <memory>

#include "buffer_pool.hpp"
#include "splitnet/transport/shm.hpp"
#include "unix_socket.hpp"

namespace splitnet::detail {

std::unique_ptr<Listener> shm_listen(UnixAddress address, Handler handler, const ListenOptions& options,
                                     const ShmOptions& shm, std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
