// SPDX-License-Identifier: Apache-2.0
// The process on the other side of a benchmark: this program once more, in another role.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

extern char** environ;

namespace splitnet::bench {

/// Speaks with it in lines, through its standard input and output. The destructor ends its input, with which it has to
/// end, and waits for that.
class ChildProcess {
 public:
  explicit ChildProcess(std::vector<std::string> arguments) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("no pipe for a process");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    arguments.insert(arguments.begin(), "/proc/self/exe");
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    const int failed = ::posix_spawn(&id_, words.front(), &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
    if (failed != 0) throw std::runtime_error("no second process");
  }
  ~ChildProcess() {
    ::close(in_);
    ::close(out_);
    ::waitpid(id_, nullptr, 0);
  }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  /// Throws std::runtime_error: it has ended.
  [[nodiscard]] std::string read_line() const {
    std::string line;
    for (char c = 0; c != '\n';) {
      if (::read(out_, &c, 1) != 1) throw std::runtime_error("the second process has ended");
      if (c != '\n') line += c;
    }
    return line;
  }
  void write_line(const std::string& text) const {
    const std::string line = text + '\n';
    if (::write(in_, line.data(), line.size()) < 0) throw std::runtime_error("the second process has ended");
  }
  /// Of all its threads, so far.
  [[nodiscard]] double cpu_s() const {
    clockid_t clock = 0;
    timespec time{};
    if (::clock_getcpuclockid(id_, &clock) != 0 || ::clock_gettime(clock, &time) != 0) {
      throw std::runtime_error("the second process has ended");
    }
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  pid_t id_ = 0;
  int in_ = -1;
  int out_ = -1;
};

}  // namespace splitnet::bench
