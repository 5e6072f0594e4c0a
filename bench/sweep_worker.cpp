// SPDX-License-Identifier: Apache-2.0
#include "sweep_worker.hpp"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace splitnet::bench {
namespace {

constexpr const char* here = "10.200.0.1";
constexpr const char* there = "10.200.0.2";

bool succeeds(const std::string& command) {
  return std::system((command + " 2>/dev/null").c_str()) == 0;
}

std::string read_line(int file) {
  std::string line;
  for (char c = 0; read(file, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

struct Pipe {
  int ends[2];
  Pipe() {
    if (pipe(ends) != 0) throw std::runtime_error(std::string("no pipe: ") + std::strerror(errno));
  }
};

}  // namespace

WorkerProcess::WorkerProcess() {
  enter_namespace();
  start();
  for (auto& endpoint : endpoints_) endpoint = read_line(stdout_);
  if (endpoints_[1].empty()) throw std::runtime_error("the worker process ended before it listened");
}

WorkerProcess::~WorkerProcess() {
  close(stdin_);  // The worker ends at the end of its input.
  close(stdout_);
  waitpid(child_, nullptr, 0);
}

void WorkerProcess::enter_namespace() {
  if (!succeeds("command -v ip tc nsenter > /dev/null")) {
    why_not_shaped_ = "ip, tc or nsenter is missing";
    return;
  }
  if (unshare(CLONE_NEWNET) != 0) {
    why_not_shaped_ = std::string("no network namespace: ") + std::strerror(errno);
    return;
  }
  if (!succeeds("ip link set lo up")) {
    throw std::runtime_error("`ip link set lo up` failed in a new network namespace");
  }
  if (!succeeds("ip link add sn0 type veth peer name sn1")) why_not_shaped_ = "no veth device";
}

void WorkerProcess::start() {
  const Pipe to_child;
  const Pipe from_child;
  child_ = fork();
  if (child_ < 0) throw std::runtime_error(std::string("no process: ") + std::strerror(errno));
  if (child_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const bool in_namespace = why_not_shaped_.empty() && unshare(CLONE_NEWNET) == 0;
    dup2(to_child.ends[0], STDIN_FILENO);
    dup2(from_child.ends[1], STDOUT_FILENO);
    for (const int end : {to_child.ends[0], to_child.ends[1], from_child.ends[0], from_child.ends[1]}) close(end);
    std::printf("%s\n", in_namespace ? "namespace" : "none");
    std::fflush(stdout);
    const bool has_device = read_line(STDIN_FILENO) == "device" && succeeds("ip link set lo up") &&
                            succeeds(std::string("ip addr add ") + there + "/30 dev sn1") &&
                            succeeds("ip link set sn1 up");
    const std::string address = has_device ? there : "127.0.0.1";
    execl("/proc/self/exe", "bench_sweep", "--worker", address.c_str(), nullptr);
    _exit(127);
  }
  close(to_child.ends[0]);
  close(from_child.ends[1]);
  stdin_ = to_child.ends[1];
  stdout_ = from_child.ends[0];
  bool has_device = read_line(stdout_) == "namespace";
  has_device = has_device && succeeds("ip link set sn1 netns " + std::to_string(child_)) &&
               succeeds(std::string("ip addr add ") + here + "/30 dev sn0") && succeeds("ip link set sn0 up");
  if (!has_device && why_not_shaped_.empty()) why_not_shaped_ = "the veth device could not be moved";
  const std::string answer = has_device ? "device\n" : "none\n";
  if (write(stdin_, answer.data(), answer.size()) < 0) throw std::runtime_error("the worker process ended at once");
}

void WorkerProcess::shape(double bit_per_s) const {
  if (!why_not_shaped_.empty()) return;
  const std::string inside = "nsenter -t " + std::to_string(child_) + " -n ";
  for (const auto& [prefix, device] : {std::pair<std::string, const char*>{"", "sn0"}, {inside, "sn1"}}) {
    const std::string command = prefix + "tc qdisc ";
    if (bit_per_s == 0) {
      (void)succeeds(command + "del dev " + device + " root");
    } else if (!succeeds(command + "replace dev " + device + " root tbf rate " +
                         std::to_string(static_cast<long long>(bit_per_s)) + "bit burst 2kb limit 16mb")) {
      throw std::runtime_error("tc could not shape " + std::string(device));
    }
  }
}

}  // namespace splitnet::bench
