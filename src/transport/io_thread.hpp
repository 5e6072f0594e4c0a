// SPDX-License-Identifier: Apache-2.0
// One thread that runs handlers, timers and sockets. Private to the transports.
#pragma once

#include <future>
#include <memory>
#include <mutex>
#include <thread>

#include "asio.hpp"

namespace splitnet::detail {

class IoThread {
 public:
  IoThread();
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  [[nodiscard]] const std::shared_ptr<asio::io_context>& context() const noexcept { return context_; }
  [[nodiscard]] bool is_current() const noexcept { return std::this_thread::get_id() == id_; }
  /// Lets the work that is left run out and waits for it. Any thread, any number of times. On its own
  /// thread (a completion that destroys its connection) it can't wait: the thread then ends by itself.
  void finish();

 private:
  const std::shared_ptr<asio::io_context> context_;
  std::mutex mutex_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;  // Under the lock.
  std::promise<void> ended_;
  const std::shared_future<void> has_ended_;
  std::thread thread_;
  const std::thread::id id_;  // Outlives a detached thread_.
};

}  // namespace splitnet::detail
