// SPDX-License-Identifier: Apache-2.0
// The only door to Asio, for the transports. Private.
#pragma once

#include <utility>  // Asio 1.74 uses std::exchange without including it.

// ThreadSanitizer knows no fences, and GCC refuses them there. Asio's are on top of its locks.
#if defined(__SANITIZE_THREAD__) && !defined(BOOST_ASIO_DISABLE_FENCED_BLOCK)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#endif

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace splitnet::detail {

namespace asio = boost::asio;

}  // namespace splitnet::detail
