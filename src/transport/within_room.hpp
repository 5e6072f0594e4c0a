// SPDX-License-Identifier: Apache-2.0
// What the system refuses while a connection or a listener is made. Private.
#pragma once

#include <string>
#include <system_error>

#include "asio.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Gives what `make` gives. Descriptors or threads that the system does not have left end it with `overloaded`.
template <class Make>
auto within_room(const std::string& what, Make&& make) {
  const auto overloaded = [&what](const std::exception& error) {
    return Error(ErrorCode::overloaded, what + ": this process has no room for it: " + error.what());
  };
  try {
    return make();
  } catch (const boost::system::system_error& error) {  // Asio: descriptors.
    throw overloaded(error);
  } catch (const std::system_error& error) {  // Threads.
    throw overloaded(error);
  }
}

}  // namespace splitnet::detail
