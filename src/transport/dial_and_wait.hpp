// SPDX-License-Identifier: Apache-2.0
// The first attempt to reach a peer, which whoever connects waits for. Private.
#pragma once

#include <exception>
#include <functional>
#include <future>
#include <utility>

#include "asio.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Calls `dial` on the context's thread and waits on this one until it says how it ended (nullptr: well). Throws what
/// it ended with.
inline void dial_and_wait(asio::io_context& context, std::function<void(std::function<void(const Error*)> done)> dial) {
  std::promise<void> connected;
  auto done = connected.get_future();
  asio::post(context, [dial = std::move(dial), &connected] {
    dial([&connected](const Error* error) {
      error == nullptr ? connected.set_value() : connected.set_exception(std::make_exception_ptr(*error));
    });
  });
  done.get();
}

}  // namespace splitnet::detail
