// SPDX-License-Identifier: Apache-2.0
// One thread with things to do: now, after those, or at a certain time. Private.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace splitnet::detail {

/// Thread-safe. Tasks must not throw; they may add others. What has not begun when it closes never runs.
class Agenda {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = std::function<void()>;
  enum class Order : unsigned char {
    first,  ///< Before all that is last, in the order of the calls.
    last,
  };
  using AlarmId = std::pair<Clock::time_point, std::uint64_t>;

  /// Throws std::system_error: no thread.
  Agenda() : thread_([this] { run(); }) {}
  ~Agenda() { close(); }
  Agenda(const Agenda&) = delete;
  Agenda& operator=(const Agenda&) = delete;

  void add(Order order, Task task);
  /// At this time, or as soon as the thread is free; before everything else.
  AlarmId at(Clock::time_point time, Task task);
  /// No matter whether it has run.
  void cancel(const AlarmId& id);
  /// Waits for the task under way. Idempotent; not from a task.
  void close() noexcept;

 private:
  void run();
  /// Under the lock; none: closed.
  Task next(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  std::deque<Task> first_;
  std::deque<Task> last_;
  std::map<AlarmId, Task> alarms_;
  std::uint64_t alarms_set_ = 0;
  std::mutex closing_;
  std::thread thread_;
};

}  // namespace splitnet::detail
