// SPDX-License-Identifier: Apache-2.0
// What runs on the thread of a context: timers, and what other threads ask for or answer. Private.
#pragma once

#include <exception>
#include <memory>
#include <utility>

#include "asio.hpp"

namespace splitnet::detail {

/// For timers and posts, whose context's thread would end with what is thrown: that ends here. There is no memory
/// then; what was asked for ends at its deadline, or comes again.
template <class Step>
auto guarded(Step step) {
  return [step = std::move(step)](auto&&... results) mutable {
    try {
      step(std::forward<decltype(results)>(results)...);
    } catch (const std::exception&) {
    }
  };
}

/// A function of one result, for any thread, that has `done` run with it on the context's thread, guarded; that goes
/// on as long as it may yet happen.
template <class Done>
auto on_context(const std::shared_ptr<asio::io_context>& context, Done done) {
  return [context, work = asio::make_work_guard(*context), done = std::move(done)](auto result) {
    asio::post(*context, guarded([done, result = std::move(result)]() mutable { done(std::move(result)); }));
  };
}

}  // namespace splitnet::detail
