// SPDX-License-Identifier: Apache-2.0
// What runs on the thread of a context: timers, and what other threads ask for or answer. Private.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "asio.hpp"

namespace splitnet::detail {

/// What `step` throws ends here: there is no memory then.
template <class Step, class... Results>
void run_guarded(Step&& step, Results&&... results) noexcept {
  try {
    step(std::forward<Results>(results)...);
  } catch (const std::exception&) {
  }
}

/// Runs `step` again and again until there is memory for it, this thread waiting meanwhile: for posts and timers
/// without which somebody would wait for ever.
template <class Step>
void insist(Step step) {
  for (;;) {
    try {
      return step();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

/// For timers and posts, whose context's thread would end with what is thrown: what was asked for ends at its deadline,
/// or comes again. Asio copies a handler before it runs it; these copies share the step, and need no memory.
template <class Step>
auto guarded(Step step) {
  return [step = std::make_shared<Step>(std::move(step))](auto&&... results) {
    run_guarded(*step, std::forward<decltype(results)>(results)...);
  };
}

/// A function of one result, for any thread, that has `done` run with it on the context's thread, guarded; that goes
/// on as long as it may yet happen.
template <class Result, class Done>
auto on_context(const std::shared_ptr<asio::io_context>& context, Done done) {
  struct Told {
    asio::executor_work_guard<asio::io_context::executor_type> work;
    Done done;
    std::optional<Result> result;
  };
  return [context,
          told = std::make_shared<Told>(Told{asio::make_work_guard(*context), std::move(done), {}})](Result result) {
    told->result = std::move(result);
    insist([&] { asio::post(*context, [told] { run_guarded(told->done, *std::move(told->result)); }); });
  };
}

}  // namespace splitnet::detail
