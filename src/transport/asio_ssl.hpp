// SPDX-License-Identifier: Apache-2.0
// The only door to Asio's TLS streams, which are slow to compile. Private.
#pragma once

#include "asio.hpp"

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
