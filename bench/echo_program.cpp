// SPDX-License-Identifier: Apache-2.0
#include "echo_program.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <latch>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

// ---- allocations are counted by standing in front of glibc's, for shared libraries too
// -------------------------------

namespace {
std::atomic<std::uint64_t> allocations_so_far{0};
void count_allocation() {
  allocations_so_far.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

extern "C" {
void* __libc_malloc(std::size_t bytes) noexcept;
void* __libc_calloc(std::size_t count, std::size_t bytes) noexcept;
void* __libc_realloc(void* memory, std::size_t bytes) noexcept;
void* __libc_memalign(std::size_t alignment, std::size_t bytes) noexcept;

void* malloc(std::size_t bytes) noexcept {
  count_allocation();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) noexcept {
  count_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) noexcept {
  count_allocation();
  return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  count_allocation();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  count_allocation();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) noexcept {
  if (!std::has_single_bit(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  count_allocation();
  *memory = __libc_memalign(alignment, bytes);
  return *memory ? 0 : ENOMEM;
}
}

namespace splitnet::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Counters {
  double cpu_s = 0;
  std::uint64_t allocations = 0;
};

Counters counters() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), allocations_so_far.load(std::memory_order_relaxed)};
}

/// The times of one measure's calls. Slots may be used by threads of their own; start and stop may not.
class Meter {
 public:
  explicit Meter(const Load& load) : load_(load), began_(load.in_flight), latencies_us_(load.calls) {}

  void start() {
    before_ = counters();
    started_ = Clock::now();
  }
  /// False when enough calls have begun.
  bool begin(std::size_t slot) {
    if (begun_.fetch_add(1, std::memory_order_relaxed) >= load_.calls) return false;
    began_[slot] = Clock::now();
    return true;
  }
  void end(const Ended& ended) {
    const auto now = Clock::now();
    if (ended.reply_bytes != load_.reply_bytes) {
      fail("a reply of " + std::to_string(ended.reply_bytes) + " bytes; expected " + std::to_string(load_.reply_bytes));
    }
    latencies_us_[ended_.fetch_add(1, std::memory_order_relaxed)] =
        std::chrono::duration<double, std::micro>(now - began_[ended.slot]).count();
  }
  Measurement stop() {
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - started_).count();
    const Counters after = counters();
    std::sort(latencies_us_.begin(), latencies_us_.end());
    const auto bytes = static_cast<double>((load_.request_bytes + load_.reply_bytes) * load_.calls);
    return {latencies_us_[load_.calls / 2], latencies_us_[load_.calls * 99 / 100], bytes / elapsed_s,
            after.cpu_s - before_.cpu_s, after.allocations - before_.allocations};
  }

 private:
  const Load load_;
  std::vector<Clock::time_point> began_;
  std::vector<double> latencies_us_;
  std::atomic<std::size_t> begun_{0};
  std::atomic<std::size_t> ended_{0};
  Clock::time_point started_;
  Counters before_;
};

Load parse_load(const std::string& line) {
  std::istringstream words(line);
  std::string word;
  Load load;
  words >> word >> load.request_bytes >> load.reply_bytes >> load.in_flight >> load.calls;
  if (!words || word != "measure" || load.request_bytes < sizeof(std::uint64_t) || load.in_flight == 0 ||
      load.calls == 0) {
    throw std::runtime_error("found '" + line +
                             "'; expected measure REQUEST_BYTES (8 or more) REPLY_BYTES IN_FLIGHT CALLS");
  }
  load.in_flight = std::min(load.in_flight, load.calls);
  return load;
}

void serve(const EchoServer& server) {
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    if (line != "counters") throw std::runtime_error("found '" + line + "'; expected counters");
    const Counters now = counters();
    std::printf("{\"cpu_s\": %.6f, \"allocations\": %llu}\n", now.cpu_s,
                static_cast<unsigned long long>(now.allocations));
    std::fflush(stdout);
  }
}

void call(EchoClient& client) {
  for (std::string line; std::getline(std::cin, line);) {
    const Measurement m = client.measure(parse_load(line));
    std::printf("{\"p50_us\": %.3f, \"p99_us\": %.3f, \"bytes_per_s\": %.0f, \"cpu_s\": %.6f, \"allocations\": %llu}\n",
                m.p50_us, m.p99_us, m.bytes_per_s, m.cpu_s, static_cast<unsigned long long>(m.allocations));
    std::fflush(stdout);
  }
}

Options parse_options(int argc, char** argv, int first) {
  std::map<std::string, std::string> given;
  for (int i = first; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (!name.starts_with("--") || i + 1 == argc) {
      throw std::runtime_error("found '" + std::string(name) + "'; expected --NAME VALUE");
    }
    given[std::string(name.substr(2))] = argv[i + 1];
  }
  return Options(std::move(given));
}

}  // namespace

std::string Options::take(const std::string& name, const std::string& otherwise) {
  const auto found = given_.extract(name);
  return found ? found.mapped() : otherwise;
}

bool Options::take_switch(const std::string& name, bool otherwise) {
  const std::string value = take(name, otherwise ? "on" : "off");
  if (value != "on" && value != "off") throw std::runtime_error("--" + name + " is on or off; found '" + value + "'");
  return value == "on";
}

void Options::expect_none_left() const {
  if (!given_.empty()) throw std::runtime_error("there is no option --" + given_.begin()->first);
}

int run_echo_program(int argc, char** argv, const EchoProgram& program) {
  const std::string role = argc > 1 ? argv[1] : "";
  try {
    if (role == "--server") {
      Options options = parse_options(argc, argv, 2);
      const auto server = program.make_server(options);
      options.expect_none_left();
      serve(*server);
      return 0;
    }
    if (role == "--client" && argc > 2) {
      Options options = parse_options(argc, argv, 3);
      const auto client = program.make_client(argv[2], options);
      options.expect_none_left();
      call(*client);
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
  std::printf("%s --server [options] | --client ADDRESS [options]\n%s", argv[0], program.help.c_str());
  return role == "--help" ? 0 : 2;
}

Measurement run_blocking(const Load& load, const std::function<std::size_t(std::size_t)>& call) {
  Meter meter(load);
  const auto run_slot = [&](std::size_t slot) {
    while (meter.begin(slot)) meter.end({slot, call(slot)});
  };
  if (load.in_flight == 1) {
    meter.start();
    run_slot(0);
    return meter.stop();
  }
  std::latch go(1);
  std::latch ended(static_cast<std::ptrdiff_t>(load.in_flight));
  std::vector<std::jthread> threads;
  for (std::size_t slot = 0; slot < load.in_flight; ++slot) {
    threads.emplace_back([&, slot] {
      go.wait();
      run_slot(slot);
      ended.count_down();
    });
  }
  meter.start();
  go.count_down();
  ended.wait();
  return meter.stop();
}

Measurement run_completions(const Load& load, const std::function<void(std::size_t)>& start,
                            const std::function<Ended()>& wait) {
  Meter meter(load);
  meter.start();
  for (std::size_t slot = 0; slot < load.in_flight; ++slot) {
    if (meter.begin(slot)) start(slot);
  }
  for (std::size_t i = 0; i < load.calls; ++i) {
    const Ended ended = wait();
    meter.end(ended);
    if (meter.begin(ended.slot)) start(ended.slot);
  }
  return meter.stop();
}

std::vector<char> make_request(const Load& load) {
  std::vector<char> request(load.request_bytes, 'x');
  const std::uint64_t reply_bytes = load.reply_bytes;
  std::memcpy(request.data(), &reply_bytes, sizeof reply_bytes);
  return request;
}

std::size_t reply_bytes_of(std::span<const char> request) {
  constexpr std::uint64_t most = std::uint64_t{1} << 30;
  std::uint64_t bytes = most + 1;
  if (request.size() >= sizeof bytes) std::memcpy(&bytes, request.data(), sizeof bytes);
  if (bytes > most) fail("a request that does not begin with the size of its reply");
  return bytes;
}

void fail(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::_Exit(1);
}

}  // namespace splitnet::bench
