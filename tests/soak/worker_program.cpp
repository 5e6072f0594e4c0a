// SPDX-License-Identifier: Apache-2.0
#include "worker_program.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace splitnet::soak {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

}  // namespace

WorkerProgram::WorkerProgram(const std::vector<std::string>& command, const std::string& log_file) {
  std::array<int, 2> output{};
  if (::pipe2(output.data(), O_CLOEXEC | O_NONBLOCK) != 0) fail("no pipe for a worker");
  const int log = ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) fail("can't write " + log_file);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  id_ = ::fork();
  if (id_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output[1], STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::execv(words.front(), words.data());
    ::_exit(127);
  }
  ::close(output[1]);
  ::close(log);
  output_ = output[0];
  if (id_ < 0) {
    ::close(output_);
    fail("no process for a worker");
  }
}

WorkerProgram::~WorkerProgram() {
  kill();
  ::close(output_);
}

std::optional<std::uint16_t> WorkerProgram::port() {
  std::array<char, 256> some;
  for (ssize_t got = 0; (got = ::read(output_, some.data(), some.size())) > 0;) {
    said_.append(some.data(), static_cast<std::size_t>(got));
  }
  const std::string words = "listening on tcp://127.0.0.1:";
  const auto begin = said_.find(words);
  if (begin == std::string::npos || said_.find('\n', begin) == std::string::npos) return std::nullopt;
  return static_cast<std::uint16_t>(std::stoi(said_.substr(begin + words.size())));
}

std::optional<int> WorkerProgram::ended() {
  int status = 0;
  if (!status_ && ::waitpid(id_, &status, WNOHANG) == id_) take_status(status);
  return status_;
}

void WorkerProgram::signal(int number) {
  if (!ended()) ::kill(id_, number);
}

void WorkerProgram::kill() {
  if (status_) return;
  ::kill(id_, SIGKILL);
  int status = 0;
  if (::waitpid(id_, &status, 0) == id_) take_status(status);
}

void WorkerProgram::take_status(int status) {
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::int64_t WorkerProgram::resident_bytes() const {
  return status_ ? 0 : soak::resident_bytes(std::to_string(id_));
}

std::int64_t resident_bytes(const std::string& process) {
  std::ifstream file("/proc/" + process + "/statm");
  std::int64_t total_pages = 0;
  std::int64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * ::sysconf(_SC_PAGESIZE);
}

}  // namespace splitnet::soak
