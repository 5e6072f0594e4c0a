// SPDX-License-Identifier: Apache-2.0
// What other threads answer, brought to the thread of a context. Private.
#pragma once

#include <exception>
#include <memory>
#include <utility>

#include "asio.hpp"

namespace splitnet::detail {

/// A function of one result, for any thread, that has `done` run with it on the context's thread, which goes on as long
/// as that may yet happen. What `done` throws ends there.
template <class Done>
auto on_context(const std::shared_ptr<asio::io_context>& context, Done done) {
  return [context, work = asio::make_work_guard(*context), done = std::move(done)](auto result) {
    asio::post(*context, [done, result = std::move(result)]() mutable {
      try {
        done(std::move(result));
      } catch (const std::exception&) {  // No memory. What was asked for ends at its deadline, or comes again.
      }
    });
  };
}

}  // namespace splitnet::detail
