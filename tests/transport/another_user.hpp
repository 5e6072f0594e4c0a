// SPDX-License-Identifier: Apache-2.0
// What another user may do. For tests.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <thread>

namespace splitnet::testing {

/// Runs on a thread that belongs to another user (credentials are the thread's own, in Linux). False without the right.
inline bool as_another_user(const std::function<void()>& work) {
  bool allowed = false;
  std::thread([&] {
    constexpr uid_t nobody = 65534;
    allowed = ::syscall(SYS_setresuid, nobody, nobody, nobody) == 0;
    if (allowed) work();
  }).join();
  return allowed;
}

}  // namespace splitnet::testing
