// SPDX-License-Identifier: Apache-2.0
// Opens connections over shared memory. Private to the shm transport.
#pragma once

#include <memory>

#include "buffer_pool.hpp"
#include "dialer.hpp"
#include "shm_layout.hpp"
#include "splitnet/transport/shm.hpp"
#include "unix_socket.hpp"

namespace splitnet::detail {

/// Of this side's memory.
ShmLayout layout_of(const ShmOptions& options);

MakeDialer make_shm_dialer(UnixAddress address, const ConnectOptions& options, const ShmOptions& shm,
                           std::shared_ptr<BufferPool> pool);

}  // namespace splitnet::detail
