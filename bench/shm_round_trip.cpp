// SPDX-License-Identifier: Apache-2.0
// Shared memory beside TCP loopback: round trips of a large request and a reply of 4 KB between two processes, payload
// checksums off in both. Rounds alternate, so that what disturbs the machine disturbs all.
//
// `copied`: the tensor lies in ordinary memory. `allocated`: in memory of Connection::allocate. `read`: the server
// reads all of the request.
//   bench_shm_round_trip [apart|together|kernel]
// Without an argument all three: sides on two cores, on one, or where the kernel puts them (bench/transports.cpp says
// why that matters).
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "splitnet/transport/shm.hpp"
#include "splitnet/transport/tcp.hpp"

namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReplyBytes = 4000;

void pin_to(std::size_t wanted) {
  cpu_set_t all;
  if (sched_getaffinity(0, sizeof all, &all) != 0) std::abort();
  cpu_set_t one;
  CPU_ZERO(&one);
  std::size_t found = 0;
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &all) || found++ != wanted) continue;
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
}

Tensor filled(Storage storage) {
  std::memset(storage.data(), 'x', storage.size_bytes());
  const auto bytes = static_cast<std::int64_t>(storage.size_bytes());
  return {std::move(storage), DType::u8, {bytes}, {1}, 0};
}

/// What a stage does at least: it looks at every byte once.
std::uint64_t sum_of(const Tensor& tensor) {
  std::uint64_t sum = 0;
  const std::span words(reinterpret_cast<const std::uint64_t*>(tensor.data()), tensor.packed_bytes() / 8);
  for (const auto word : words) sum += word;
  return sum;
}

/// Until its standard input ends. The request's integer says whether its tensor is read.
[[noreturn]] void serve(int answer, int until, const std::string& name) {
  ListenOptions options;
  options.payload_checksum = false;
  const Tensor reply_tensor = filled(Storage::allocate(kReplyBytes));
  const auto handler = [&](const Message& request, const CallContext&, const Responder& respond) {
    Message reply;
    reply.kind = MessageKind::reply;
    const auto sum = request.values.at(0).integer() == 0 ? 0 : sum_of(request.values.at(1).tensor());
    reply.values = {reply_tensor, static_cast<std::int64_t>(sum)};
    respond(std::move(reply));
  };
  const auto tcp = make_tcp_transport()->listen("tcp://127.0.0.1:0", handler, options);
  const auto shm = make_shm_transport()->listen("shm://" + name, handler, options);
  const std::string address = tcp->address() + "\n";
  (void)!::write(answer, address.data(), address.size());
  char byte = 0;
  (void)!::read(until, &byte, 1);
  std::_Exit(0);
}

class Server {
 public:
  explicit Server(std::size_t core, bool pinned) {
    int answer[2];
    int until[2];
    if (::pipe(answer) != 0 || ::pipe(until) != 0) std::abort();
    child_ = ::fork();
    if (child_ == 0) {
      ::close(until[1]);
      if (pinned) pin_to(core);
      serve(answer[1], until[0], name_);
    }
    ::close(until[0]);
    until_ = until[1];
    for (char c = 0; ::read(answer[0], &c, 1) == 1 && c != '\n';) tcp_ += c;
  }
  ~Server() {
    ::close(until_);
    ::waitpid(child_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  [[nodiscard]] const std::string& tcp() const { return tcp_; }
  [[nodiscard]] std::string shm() const { return "shm://" + name_; }

 private:
  const std::string name_ = "bench-" + std::to_string(::getpid());
  pid_t child_ = 0;
  int until_ = -1;
  std::string tcp_;
};

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Road {
  Connection* connection;
  Message request;
};

double p50_us(Road& road, int calls) {
  std::vector<double> times;
  for (int i = 0; i < calls; ++i) {
    const auto start = Clock::now();
    const auto reply = call_and_wait(*road.connection, road.request);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    if (reply.values.at(0).tensor().packed_bytes() != kReplyBytes) std::abort();
  }
  return median(std::move(times));
}

struct Size {
  const char* name;
  std::size_t bytes;
  int calls;
};
constexpr Size kSizes[] = {
    {"1KB", 1'000, 200}, {"100KB", 100'000, 100}, {"1MB", 1'000'000, 30}, {"10MB", 10'000'000, 8}};
constexpr int kRounds = 21;

void compare(const Size& size, const std::string& placement, bool read, Connection& tcp, Connection& shm) {
  const auto request_of = [&](Storage storage) {
    Message request;
    request.values = {static_cast<std::int64_t>(read ? 1 : 0), filled(std::move(storage))};
    return request;
  };
  std::array<Road, 3> roads{Road{&tcp, request_of(Storage::allocate(size.bytes))},
                            Road{&shm, request_of(Storage::allocate(size.bytes))},
                            Road{&shm, request_of(shm.allocate(size.bytes))}};
  for (auto& road : roads) (void)p50_us(road, size.calls);
  std::array<std::vector<double>, 3> us;
  std::array<std::vector<double>, 3> ratios;
  for (int round = 0; round < kRounds; ++round) {
    std::array<double, 3> now{};
    for (std::size_t turn = 0; turn < roads.size(); ++turn) {
      const std::size_t i = (turn + static_cast<std::size_t>(round)) % roads.size();
      now[i] = p50_us(roads[i], size.calls);
    }
    for (std::size_t i = 0; i < roads.size(); ++i) {
      us[i].push_back(now[i]);
      ratios[i].push_back(now[0] / now[i]);
    }
  }
  std::printf("%-6s %-9s %-5s %10.1f %10.1f %10.1f %10.2f %10.2f\n", size.name, placement.c_str(), read ? "read" : "",
              median(us[0]), median(us[1]), median(us[2]), median(ratios[1]), median(ratios[2]));
  std::fflush(stdout);
}

void measure(const std::string& placement) {
  const Server server(placement == "apart" ? 1 : 0, placement != "kernel");
  // Threads inherit the core of the one that makes them.
  std::thread([&] {
    if (placement != "kernel") pin_to(0);
    ConnectOptions options;
    options.payload_checksum = false;
    const auto tcp = make_tcp_transport()->connect(server.tcp(), options);
    const auto shm = make_shm_transport()->connect(server.shm(), options);
    for (const bool read : {false, true}) {
      for (const auto& size : kSizes) compare(size, placement, read, *tcp, *shm);
    }
  }).join();
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("%-6s %-9s %-5s %10s %10s %10s %10s %10s\n", "size", "cores", "", "tcp us", "copied us", "alloc us",
              "tcp/copied", "tcp/alloc");
  if (argc > 1) {
    measure(argv[1]);
    return 0;
  }
  for (const char* placement : {"apart", "together", "kernel"}) measure(placement);
  return 0;
}
