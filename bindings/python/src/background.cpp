// SPDX-License-Identifier: Apache-2.0
#include "background.hpp"

#include <pybind11/pybind11.h>

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>

#include "interrupt.hpp"

namespace splitnet::python {
namespace {

/// Never destroyed: its threads may end after everything else.
struct Background {
  std::mutex mutex;
  std::condition_variable ended;
  std::size_t running = 0;
};
Background& background() {
  static auto* const all = new Background;
  return *all;
}

void note_end() {
  const std::lock_guard lock(background().mutex);
  --background().running;
  background().ended.notify_all();
}

}  // namespace

void run_in_background(std::function<void()> work) {
  {
    const std::lock_guard lock(background().mutex);
    ++background().running;
  }
  try {
    std::thread([work = std::move(work)]() mutable {
      work();
      work = nullptr;  // What it owns may need the GIL to go.
      note_end();
    }).detach();
  } catch (...) {
    note_end();
    throw;
  }
}

void wait_for_background() {
  const pybind11::gil_scoped_release released;
  Background& all = background();
  std::unique_lock lock(all.mutex);
  while (!all.ended.wait_for(lock, signal_pause, [&] { return all.running == 0; })) {
    lock.unlock();
    handle_signals();
    lock.lock();
  }
}

}  // namespace splitnet::python
