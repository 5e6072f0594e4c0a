// SPDX-License-Identifier: Apache-2.0
/// \file
/// Ctrl-C while C++ works or waits.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

#include "background.hpp"

namespace splitnet::python {

/// What waits looks after signals so often.
inline constexpr std::chrono::milliseconds signal_pause{50};

/// Signals of Python are handled on its main thread.
bool is_main_thread();

/// Lets Python handle signals that have come; takes the GIL. Throws error_already_set (KeyboardInterrupt, as a rule).
/// Does nothing on other threads than the main one.
void handle_signals();

/// A progress callback that also lets signals be handled. `callback` may be empty.
std::function<void(std::size_t, std::size_t)> interruptible(std::function<void(std::size_t, std::size_t)> callback);

/// What `work` returns, run without the GIL. On the main thread it runs on a thread of its own, so that Ctrl-C ends the
/// waiting at once; `work` then goes on unseen to its end, and so must own whatever it uses.
template <class Work>
std::invoke_result_t<Work> wait_interruptibly(Work work) {
  if (!is_main_thread()) {
    const pybind11::gil_scoped_release released;
    return work();
  }
  auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work>()>>(std::move(work));
  auto result = task->get_future();
  const pybind11::gil_scoped_release released;
  run_in_background([task = std::move(task)] { (*task)(); });
  while (result.wait_for(signal_pause) != std::future_status::ready) handle_signals();
  return result.get();
}

}  // namespace splitnet::python
