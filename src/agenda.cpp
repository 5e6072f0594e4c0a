// SPDX-License-Identifier: Apache-2.0
#include "agenda.hpp"

namespace splitnet::detail {

void Agenda::add(Order order, Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    (order == Order::first ? first_ : last_).push_back(std::move(task));
  }
  changed_.notify_one();
}

Agenda::AlarmId Agenda::at(Clock::time_point time, Task task) {
  AlarmId id;
  {
    const std::lock_guard lock(mutex_);
    id = {time, ++alarms_set_};
    if (closed_) return id;
    alarms_.emplace(id, std::move(task));
  }
  changed_.notify_one();
  return id;
}

void Agenda::cancel(const AlarmId& id) {
  Task dropped;  // Destroyed without the lock: it may hold the last share of anything.
  const std::lock_guard lock(mutex_);
  const auto found = alarms_.find(id);
  if (found == alarms_.end()) return;
  dropped = std::move(found->second);
  alarms_.erase(found);
}

Agenda::Task Agenda::next(std::unique_lock<std::mutex>& lock) {
  const auto take_front = [](std::deque<Task>& tasks) {
    Task task = std::move(tasks.front());
    tasks.pop_front();
    return task;
  };
  for (;;) {
    if (closed_) return {};
    if (!alarms_.empty() && alarms_.begin()->first.first <= Clock::now()) {
      Task task = std::move(alarms_.begin()->second);
      alarms_.erase(alarms_.begin());
      return task;
    }
    if (!first_.empty()) return take_front(first_);
    if (!last_.empty()) return take_front(last_);
    if (alarms_.empty()) {
      changed_.wait(lock);
    } else {
      const auto earliest = alarms_.begin()->first.first;
      changed_.wait_until(lock, earliest);
    }
  }
}

void Agenda::run() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      task = next(lock);
    }
    if (!task) return;
    task();
  }
}

void Agenda::close() noexcept {
  const std::lock_guard one_at_a_time(closing_);
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::deque<Task> dropped_first;
  std::deque<Task> dropped_last;
  std::map<AlarmId, Task> dropped_alarms;
  const std::lock_guard lock(mutex_);  // Ends before they do.
  dropped_first.swap(first_);
  dropped_last.swap(last_);
  dropped_alarms.swap(alarms_);
}

}  // namespace splitnet::detail
