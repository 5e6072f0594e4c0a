// SPDX-License-Identifier: Apache-2.0
// How much does tcp:// cost over the least that any transport can do: a bare, blocking Asio echo that reads a
// whole length-prefixed message and writes it back? Both peers run in this process, over real loopback
// sockets, in rounds that alternate, so that what disturbs the machine disturbs both.
//
// Where the threads run decides more than what they do: waking a thread on an idle virtual core costs some
// 25 microseconds, on the own core 3, and the kernel puts two threads that wake each other on one core or
// on two as it happens. So both sides keep to cores, the same ones for the yardstick and for ours.
#include <sched.h>

#include <utility>  // Asio 1.74 uses std::exchange without including it.

// ThreadSanitizer knows no fences, and GCC refuses them there. Asio's are on top of its locks.
#if defined(__SANITIZE_THREAD__)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#endif
#define XXH_INLINE_ALL
#include <benchmark/benchmark.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "splitnet/transport/tcp.hpp"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// ---- where threads run --------------------------------------------------------------------------

/// Threads made by a pinned thread inherit its core.
enum class Placement {
  apart,     ///< Calling side on one core, answering side on another: as on two machines.
  together,  ///< Everything on one core: no idle core to wake, nothing in parallel.
  kernel,    ///< As the kernel likes.
};
const char* to_string(Placement placement) {
  switch (placement) {
    case Placement::apart: return "apart";
    case Placement::together: return "together";
    default: return "kernel";
  }
}

cpu_set_t allowed_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) std::abort();
  return cores;
}

/// Keeps the thread that makes it on one core as long as it lives.
class Pinned {
 public:
  enum class Side { calling, answering };
  Pinned(Placement placement, Side side) {
    if (placement == Placement::kernel) return;
    const int wanted = side == Side::answering && placement == Placement::apart ? 1 : 0;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(nth_core(wanted), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~Pinned() { sched_setaffinity(0, sizeof before_, &before_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  // The last one where there are not so many.
  static int nth_core(int wanted) {
    static const cpu_set_t all = allowed_cores();
    int found = 0;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (!CPU_ISSET(core, &all)) continue;
      found = core;
      if (wanted-- == 0) break;
    }
    return found;
  }
  const cpu_set_t before_ = allowed_cores();
};

// ---- the yardstick -----------------------------------------------------------------------------

/// One side of the bare echo: eight bytes of length, eight of checksum, then the payload. Two kinds:
/// `chunked` is asio::read and asio::write, which move 64 KiB at most per system call; the other asks the
/// kernel for everything at once, the strictest yardstick there is.
class BareStream {
 public:
  BareStream(tcp::socket socket, bool checksum, bool chunked)
      : socket_(std::move(socket)), checksum_(checksum), chunked_(chunked) {
    socket_.set_option(tcp::no_delay(true));
  }
  void write(const std::vector<char>& payload) {
    const std::uint64_t head[2] = {payload.size(), hash(payload)};
    if (chunked_) {
      asio::write(socket_, std::array{asio::buffer(head, sizeof head), asio::buffer(payload)});
      return;
    }
    std::size_t sent = socket_.write_some(std::array{asio::buffer(head, sizeof head), asio::buffer(payload)});
    for (const auto total = sizeof head + payload.size(); sent < total;) {
      if (sent < sizeof head) std::abort();  // Does not happen on a blocking socket with an empty buffer.
      const auto done = sent - sizeof head;
      sent += socket_.write_some(asio::buffer(payload.data() + done, payload.size() - done));
    }
  }
  /// False at the end of the stream.
  bool read(std::vector<char>& payload) {
    std::uint64_t head[2];
    boost::system::error_code error;
    asio::read(socket_, asio::buffer(head, sizeof head), error);
    if (error) return false;
    payload.resize(head[0]);
    if (chunked_) {
      asio::read(socket_, asio::buffer(payload));
    } else {
      read_whole(payload);
    }
    if (hash(payload) != head[1]) std::abort();
    return true;
  }

 private:
  void read_whole(std::vector<char>& payload) {
    for (std::size_t got = 0; got < payload.size();) {
      got += socket_.read_some(asio::buffer(payload.data() + got, payload.size() - got));
    }
  }
  std::uint64_t hash(const std::vector<char>& payload) const {
    return checksum_ ? XXH3_64bits(payload.data(), payload.size()) : 0;
  }
  tcp::socket socket_;
  bool checksum_;
  bool chunked_;
};

class BareEcho {
 public:
  BareEcho(std::size_t bytes, bool checksum, bool chunked, Placement placement)
      : acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), payload_(bytes, 'x') {
    server_ = std::thread([this, checksum, chunked, placement] {
      const Pinned pinned(placement, Pinned::Side::answering);
      BareStream peer(acceptor_.accept(), checksum, chunked);
      std::vector<char> received;
      while (peer.read(received)) peer.write(received);
    });
    tcp::socket socket(context_);
    socket.connect(acceptor_.local_endpoint());
    client_ = std::make_unique<BareStream>(std::move(socket), checksum, chunked);
  }
  ~BareEcho() {
    client_.reset();
    server_.join();
  }
  void round_trip() {
    client_->write(payload_);
    if (!client_->read(reply_)) std::abort();
  }

 private:
  asio::io_context context_;
  tcp::acceptor acceptor_;
  std::vector<char> payload_;
  std::vector<char> reply_;
  std::thread server_;
  std::unique_ptr<BareStream> client_;
};

// ---- ours --------------------------------------------------------------------------------------

class SplitnetEcho {
 public:
  SplitnetEcho(std::size_t bytes, bool checksum, Placement placement) {
    splitnet::ListenOptions listen;
    listen.payload_checksum = checksum;
    splitnet::ConnectOptions connect;
    connect.payload_checksum = checksum;
    // A transport for each side, as in two processes: receive buffers stay on the side that warmed them.
    {
      const Pinned pinned(placement, Pinned::Side::answering);
      listener_ = splitnet::make_tcp_transport()->listen(
          "tcp://127.0.0.1:0",
          [](splitnet::Message request, const splitnet::CallContext&, const splitnet::Responder& respond) {
            splitnet::Message reply;
            reply.kind = splitnet::MessageKind::reply;
            reply.values = std::move(request.values);
            respond(std::move(reply));
          },
          listen);
    }
    const Pinned pinned(placement, Pinned::Side::calling);
    connection_ = splitnet::make_tcp_transport()->connect(listener_->address(), connect);
    auto tensor = splitnet::Tensor::empty(splitnet::DType::u8, {static_cast<std::int64_t>(bytes)});
    std::memset(tensor.data(), 'x', bytes);
    request_.values.emplace_back(std::move(tensor));
  }
  void round_trip() { benchmark::DoNotOptimize(splitnet::call_and_wait(*connection_, request_)); }

 private:
  std::unique_ptr<splitnet::Listener> listener_;
  std::unique_ptr<splitnet::Connection> connection_;
  splitnet::Message request_;
};

// ---- measuring ---------------------------------------------------------------------------------

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Echo>
double p50_us(Echo& echo, int calls) {
  std::vector<double> times;
  for (int i = 0; i < calls; ++i) {
    const auto start = Clock::now();
    echo.round_trip();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  return median(std::move(times));
}

struct Size {
  const char* name;
  std::size_t bytes;
  int calls;
  int rounds;
};
constexpr Size kSizes[] = {
    {"1KB", 1'000, 300, 41}, {"100KB", 100'000, 60, 41}, {"1MB", 1'000'000, 20, 31}, {"10MB", 10'000'000, 5, 21}};

struct Row {
  std::string size;
  Placement placement = Placement::apart;
  bool checksum = false;
  double asio_us = 0;    // asio::read and asio::write.
  double strict_us = 0;  // One system call as far as the kernel goes along.
  double tcp_us = 0;
  double tcp_over_asio = 0;
  double tcp_over_strict = 0;
};

Row compare(const Size& size, bool checksum, Placement placement) {
  BareEcho asio_echo(size.bytes, checksum, true, placement);
  BareEcho strict_echo(size.bytes, checksum, false, placement);
  SplitnetEcho tcp_echo(size.bytes, checksum, placement);
  const Pinned pinned(placement, Pinned::Side::calling);
  for (int i = 0; i < std::max(3, size.calls / 2); ++i) {
    asio_echo.round_trip();
    strict_echo.round_trip();
    tcp_echo.round_trip();
  }
  std::array<std::vector<double>, 3> us;
  std::array<std::vector<double>, 2> ratios;
  for (int round = 0; round < size.rounds; ++round) {
    std::array<double, 3> now{};
    // Who goes first changes too.
    for (int turn = 0; turn < 3; ++turn) {
      switch ((round + turn) % 3) {
        case 0: now[0] = p50_us(asio_echo, size.calls); break;
        case 1: now[1] = p50_us(strict_echo, size.calls); break;
        default: now[2] = p50_us(tcp_echo, size.calls); break;
      }
    }
    for (std::size_t i = 0; i < 3; ++i) us[i].push_back(now[i]);
    for (std::size_t i = 0; i < 2; ++i) ratios[i].push_back(now[2] / now[i]);
  }
  return {size.name,     placement,     checksum,          median(us[0]),
          median(us[1]), median(us[2]), median(ratios[0]), median(ratios[1])};
}

void print(const std::vector<Row>& rows) {
  std::printf("\np50 of a round trip in microseconds; ratios are medians of rounds\n");
  std::printf("%-8s %-8s %-9s %10s %14s %10s %10s %16s\n", "payload", "checksum", "cores", "asio", "asio, whole", "tcp",
              "tcp/asio", "tcp/asio, whole");
  for (const auto& row : rows) {
    std::printf("%-8s %-8s %-9s %10.1f %14.1f %10.1f %10.3f %16.3f\n", row.size.c_str(), row.checksum ? "on" : "off",
                to_string(row.placement), row.asio_us, row.strict_us, row.tcp_us, row.tcp_over_asio,
                row.tcp_over_strict);
  }
  std::printf("transports:");
  for (const auto& row : rows) {
    if (row.checksum || row.placement != Placement::apart) continue;
    std::printf(" tcp_over_asio_%s=%.3f", row.size.c_str(), row.tcp_over_asio);
  }
  std::printf("\n");
}

void register_benchmark(const Size& size, bool checksum, Placement placement, std::vector<Row>& rows) {
  const auto name = std::string("tcp_round_trip/") + size.name + (checksum ? "/checksum_on/" : "/checksum_off/") +
                    to_string(placement);
  benchmark::RegisterBenchmark(name.c_str(),
                               [&rows, size, checksum, placement](benchmark::State& state) {
                                 for (auto _ : state) {
                                   const auto row = compare(size, checksum, placement);
                                   state.SetIterationTime(row.tcp_us * 1e-6);
                                   state.counters["asio_p50_us"] = row.asio_us;
                                   state.counters["asio_whole_p50_us"] = row.strict_us;
                                   state.counters["tcp_p50_us"] = row.tcp_us;
                                   state.counters["tcp_over_asio"] = row.tcp_over_asio;
                                   state.counters["tcp_over_asio_whole"] = row.tcp_over_strict;
                                   rows.push_back(row);
                                 }
                               })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Row> rows;
  for (const auto placement : {Placement::apart, Placement::together, Placement::kernel}) {
    for (const bool checksum : {false, true}) {
      for (const auto& size : kSizes) register_benchmark(size, checksum, placement, rows);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  print(rows);
  return 0;
}
