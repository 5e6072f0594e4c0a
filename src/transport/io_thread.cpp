// SPDX-License-Identifier: Apache-2.0
#include "io_thread.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

void run(asio::io_context& context, std::chrono::nanoseconds busy_poll) {
  if (busy_poll.count() <= 0) {
    context.run();
    return;
  }
  while (context.run_one() != 0) {
    for (auto until = Clock::now() + busy_poll; Clock::now() < until;) {
      if (context.poll() != 0) until = Clock::now() + busy_poll;
    }
  }
}

}  // namespace

IoThread::IoThread(std::chrono::nanoseconds busy_poll)
    : context_(std::make_shared<asio::io_context>(1)),
      work_(context_->get_executor()),
      has_ended_(ended_.get_future().share()),
      thread_([context = context_, busy_poll, ended = std::move(ended_)]() mutable {
        run(*context, busy_poll);
        ended.set_value();
      }),
      id_(thread_.get_id()) {}

void IoThread::finish() {
  {
    const std::lock_guard lock(mutex_);
    work_.reset();
  }
  if (!is_current()) has_ended_.wait();
}

IoThread::~IoThread() {
  finish();
  if (is_current()) {
    thread_.detach();
  } else {
    thread_.join();
  }
}

}  // namespace splitnet::detail
