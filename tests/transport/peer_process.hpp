// SPDX-License-Identifier: Apache-2.0
// A part of the test program in a process of its own. For tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace splitnet::testing {

/// Runs a disabled test of this program, for a fork of a process with threads can't start threads under TSan. That test
/// gets its endpoint from endpoint_of_peer_process and calls be_peer_process when it is ready.
class PeerProcess {
 public:
  static constexpr const char* endpoint_variable = "SPLITNET_TEST_ENDPOINT";

  /// `test`: SUITE.NAME of the disabled test. Returns when it is ready.
  explicit PeerProcess(const std::string& test, const std::string& endpoint = {}) {
    int answer[2];
    EXPECT_EQ(::pipe2(answer, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, answer[1], 1);
    std::string program = "/proc/self/exe";
    std::string filter = "--gtest_filter=" + test;
    std::string disabled = "--gtest_also_run_disabled_tests";
    char* arguments[] = {program.data(), filter.data(), disabled.data(), nullptr};
    std::string variable = endpoint_variable + ("=" + endpoint);
    std::vector<char*> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
    environment.push_back(variable.data());
    environment.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&child_, program.c_str(), &actions, nullptr, arguments, environment.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(answer[1]);
    for (char c = 0; ::read(answer[0], &c, 1) == 1;) {
      if (c != '\n') {
        address_ += c;
      } else if (address_.find("://") != std::string::npos) {
        break;
      } else {
        address_.clear();  // GoogleTest's own words.
      }
    }
    ::close(answer[0]);
  }
  ~PeerProcess() { kill(); }
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  const std::string& address() const { return address_; }
  /// Returns when it is gone.
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    EXPECT_GT(::waitpid(std::exchange(child_, 0), nullptr, 0), 0);
  }
  /// Returns when it has stopped: a signal alone leaves its threads some time.
  void stop() const {
    EXPECT_EQ(::kill(child_, SIGSTOP), 0);
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, WUNTRACED), child_);
    EXPECT_TRUE(WIFSTOPPED(status));
  }
  void go_on() const { EXPECT_EQ(::kill(child_, SIGCONT), 0); }

 private:
  pid_t child_ = 0;
  std::string address_;
};

/// In the process.
inline std::string endpoint_of_peer_process() {
  const char* const endpoint = std::getenv(PeerProcess::endpoint_variable);  // NOLINT(concurrency-mt-unsafe)
  return endpoint == nullptr ? std::string() : endpoint;
}
/// Likewise: tells its address, and stays until it is killed, or for a minute when the test that started it does not.
inline void be_peer_process(const std::string& address) {
  std::printf("\n%s\n", address.c_str());
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::minutes(1));
}

}  // namespace splitnet::testing
