// SPDX-License-Identifier: Apache-2.0
// What connections cost on which nothing happens: memory of a listener per connection, and how much longer a round trip
// takes beside them. The connections are those of a second process.
//
//   bench_idle_connections [--connections N]
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "headline.hpp"
#include "splitnet/transport_registry.hpp"

extern char** environ;

namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

/// As many as this machine lets a process have.
void allow_descriptors() {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

/// The second process: connects, says so, and holds on until its input ends.
int hold(const std::string& address, std::size_t connections) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  allow_descriptors();
  for (std::size_t i = 0; i < connections; ++i) {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);  // Closed when the process ends.
    if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
      std::fprintf(stderr, "idle_connections: connection %zu: %s\n", i, std::strerror(errno));
      return 1;
    }
  }
  std::puts("connected");
  std::fflush(stdout);
  char byte = 0;
  while (::read(0, &byte, 1) > 0) {
  }
  return 0;
}

class Holder {
 public:
  Holder(const std::string& address, std::size_t connections) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    char program[] = "/proc/self/exe";
    std::string count = std::to_string(connections);
    std::string to = address;
    char role[] = "--hold";
    char* arguments[] = {program, role, to.data(), count.data(), nullptr};
    if (::posix_spawn(&child_, program, &actions, nullptr, arguments, environ) != 0) {
      throw std::runtime_error("no second process");
    }
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    char text[16];
    if (::read(out[0], text, sizeof text) <= 0) throw std::runtime_error("the second process could not connect");
    ::close(out[0]);
  }
  ~Holder() {
    ::close(input_);
    ::waitpid(child_, nullptr, 0);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

 private:
  pid_t child_ = 0;
  int input_ = -1;
};

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double total = 0;
  double resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double median_round_trip_us(Connection& connection) {
  std::vector<double> times;
  Message request;
  request.values.emplace_back(Tensor::empty(DType::u8, {1000}));
  for (int i = 0; i < 5000; ++i) {
    const auto start = Clock::now();
    (void)call_and_wait(connection, request);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  std::nth_element(times.begin(), times.begin() + 2500, times.end());
  return times[2500];
}

int measure(std::size_t connections) {
  allow_descriptors();
  ListenOptions options;
  options.max_connections = connections + 10;
  options.max_connects_per_s = 1e6;
  const auto registry = TransportRegistry::with_defaults();
  const auto listener = registry.listen(
      "tcp://127.0.0.1:0",
      [](Message request, const CallContext&, const Responder& respond) {
        request.kind = MessageKind::reply;
        respond(std::move(request));
      },
      options);
  const auto connection = registry.connect(listener->address());
  (void)median_round_trip_us(*connection);
  const double alone_us = median_round_trip_us(*connection);
  const double before = resident_bytes();
  const Holder holder(listener->address(), connections);
  std::this_thread::sleep_for(std::chrono::seconds(1));  // The last ones are still being accepted.
  const double bytes = (resident_bytes() - before) / static_cast<double>(connections);
  const double beside_us = median_round_trip_us(*connection);
  std::printf("a round trip of 1 KB takes %.1f us alone, %.1f us beside %zu idle connections\n", alone_us, beside_us,
              connections);
  char figures[120];
  std::snprintf(figures, sizeof figures, "connections=%zu bytes_per_connection=%.0f round_trip_ratio=%.3f", connections,
                bytes, beside_us / alone_us);
  bench::print_headline("idle_connections", figures);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 4 && std::strcmp(argv[1], "--hold") == 0) return hold(argv[2], std::strtoul(argv[3], nullptr, 10));
  std::size_t connections = 10'000;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--connections" && i + 1 < argc) {
      connections = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
    } else if (argument.rfind("--benchmark_", 0) != 0) {  // Those are for the other programs of scripts/bench.
      std::fprintf(stderr, "usage: %s [--connections N]\n", argv[0]);
      return 2;
    }
  }
  return measure(connections);
} catch (const std::exception& error) {
  std::fprintf(stderr, "idle_connections: %s\n", error.what());
  return 1;
}
