// SPDX-License-Identifier: Apache-2.0
// A process of the program splitnet-worker.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace splitnet::soak {

/// Belongs to the thread that starts it, and ends with that thread, or with its destructor, at the latest.
class WorkerProgram {
 public:
  /// `command`: the program and its arguments. What it says on standard error is appended to `log_file`. Throws
  /// std::runtime_error.
  WorkerProgram(const std::vector<std::string>& command, const std::string& log_file);
  ~WorkerProgram();
  WorkerProgram(const WorkerProgram&) = delete;
  WorkerProgram& operator=(const WorkerProgram&) = delete;

  /// Where it listens on this machine, once it has said so. Does not wait.
  std::optional<std::uint16_t> port();
  /// Its exit status, or minus the signal that ended it; nothing while it runs. Does not wait.
  std::optional<int> ended();
  /// Nothing happens when it has ended.
  void signal(int number);
  /// Returns when it is gone.
  void kill();
  /// Physical memory that it has, in bytes; 0 when it has ended.
  [[nodiscard]] std::int64_t resident_bytes() const;

 private:
  void take_status(int status);

  pid_t id_ = 0;
  int output_ = -1;
  std::string said_;
  std::optional<int> status_;
};

/// Physical memory of the process whose folder in /proc has this name, in bytes; 0: there is none.
std::int64_t resident_bytes(const std::string& process);

}  // namespace splitnet::soak
