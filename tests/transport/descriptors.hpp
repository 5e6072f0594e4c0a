// SPDX-License-Identifier: Apache-2.0
// File descriptors of the process that tests: none left, many, and whether some stay behind.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <thread>
#include <vector>

namespace splitnet::testing {

inline std::ptrdiff_t entries_of(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

/// As many as there are now, and as many threads.
class NothingLeftBehind {
 public:
  /// Waits, for a listener notices the end of a connection a moment later.
  void expect() const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (entries_of("/proc/self/fd") > descriptors_ && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(entries_of("/proc/self/fd"), descriptors_);
    EXPECT_EQ(entries_of("/proc/self/task"), threads_);
  }

 private:
  const std::ptrdiff_t threads_ = entries_of("/proc/self/task");
  const std::ptrdiff_t descriptors_ = entries_of("/proc/self/fd");
};

/// As many as this machine lets a process have, until its end.
class ManyDescriptors {
 public:
  ManyDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    high_ = before_;
    high_.rlim_cur = high_.rlim_max;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &high_), 0);
  }
  ~ManyDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  ManyDescriptors(const ManyDescriptors&) = delete;
  ManyDescriptors& operator=(const ManyDescriptors&) = delete;

  /// For connections with both ends here or in a listener that keeps `max_connections`, with room for the rest.
  [[nodiscard]] std::ptrdiff_t for_idle_connections() const {
    return static_cast<std::ptrdiff_t>(std::min<rlim_t>(high_.rlim_cur, 20'000)) - 3'000;
  }

 private:
  rlimit before_{};
  rlimit high_{};
};

/// From `fill` to its end; before that, few are left.
class FewDescriptors {
 public:
  FewDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int lowest_free = ::dup(0);
    ::close(lowest_free);
    rlimit low = before_;
    low.rlim_cur = static_cast<rlim_t>(lowest_free) + 20;
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  void fill() {
    for (int taken = ::dup(0); taken >= 0; taken = ::dup(0)) taken_.push_back(taken);
  }
  ~FewDescriptors() {
    for (const int taken : taken_) ::close(taken);
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0);
  }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

}  // namespace splitnet::testing
