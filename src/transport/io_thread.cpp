// SPDX-License-Identifier: Apache-2.0
#include "io_thread.hpp"

namespace splitnet::detail {

IoThread::IoThread()
    : context_(std::make_shared<asio::io_context>(1)),
      work_(context_->get_executor()),
      has_ended_(ended_.get_future().share()),
      thread_([context = context_, ended = std::move(ended_)]() mutable {
        context->run();
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
