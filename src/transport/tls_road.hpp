// SPDX-License-Identifier: Apache-2.0
// Sockets of TCP that encrypt, for every transport that does. Private.
#pragma once

#include "splitnet/transport/tls.hpp"
#include "tcp_road.hpp"

namespace splitnet::detail {

/// Reads the files now. Throws as make_client_context.
WrapSocket tls_client_wrap(const TlsOptions& options, const std::string& host);
/// Throws as make_server_context.
WrapSocket tls_server_wrap(const TlsOptions& options);

}  // namespace splitnet::detail
