// SPDX-License-Identifier: Apache-2.0
// How much does tcp:// cost over the least that any transport can do: a bare, blocking Asio echo that reads a
// whole length-prefixed message and writes it back? Both peers run in this process, over real loopback
// sockets, in rounds that alternate, so that what disturbs the machine disturbs both.
#include <utility>  // Asio 1.74 uses std::exchange without including it.

// ThreadSanitizer knows no fences, and GCC refuses them there. Asio's are on top of its locks.
#if defined(__SANITIZE_THREAD__)
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#endif
#define XXH_INLINE_ALL
#include <benchmark/benchmark.h>
#include <xxhash.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "splitnet/transport/tcp.hpp"

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

// ---- the yardstick -----------------------------------------------------------------------------

/// One side of the bare echo: eight bytes of length, eight of checksum, then the payload.
class BareStream {
 public:
  BareStream(tcp::socket socket, bool checksum) : socket_(std::move(socket)), checksum_(checksum) {
    socket_.set_option(tcp::no_delay(true));
  }
  void write(const std::vector<char>& payload) {
    const std::uint64_t head[2] = {payload.size(), hash(payload)};
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
    // Not asio::read: it asks the kernel for 64 KiB at most at a time, which makes the yardstick too easy.
    for (std::size_t got = 0; got < payload.size();) {
      got += socket_.read_some(asio::buffer(payload.data() + got, payload.size() - got));
    }
    if (hash(payload) != head[1]) std::abort();
    return true;
  }

 private:
  std::uint64_t hash(const std::vector<char>& payload) const {
    return checksum_ ? XXH3_64bits(payload.data(), payload.size()) : 0;
  }
  tcp::socket socket_;
  bool checksum_;
};

class BareEcho {
 public:
  BareEcho(std::size_t bytes, bool checksum)
      : acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), payload_(bytes, 'x') {
    server_ = std::thread([this, checksum] {
      BareStream peer(acceptor_.accept(), checksum);
      std::vector<char> received;
      while (peer.read(received)) peer.write(received);
    });
    tcp::socket socket(context_);
    socket.connect(acceptor_.local_endpoint());
    client_ = std::make_unique<BareStream>(std::move(socket), checksum);
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
  SplitnetEcho(std::size_t bytes, bool checksum) {
    splitnet::ListenOptions listen;
    listen.payload_checksum = checksum;
    splitnet::ConnectOptions connect;
    connect.payload_checksum = checksum;
    // A transport for each side, as in two processes: receive buffers stay on the side that warmed them.
    listener_ = splitnet::make_tcp_transport()->listen(
        "tcp://127.0.0.1:0",
        [](splitnet::Message request, const splitnet::CallContext&, const splitnet::Responder& respond) {
          splitnet::Message reply;
          reply.kind = splitnet::MessageKind::reply;
          reply.values = std::move(request.values);
          respond(std::move(reply));
        },
        listen);
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
constexpr Size kSizes[] = {{"1KB", 1'000, 300, 41}, {"100KB", 100'000, 60, 41}, {"1MB", 1'000'000, 20, 31}, {"10MB", 10'000'000, 5, 21}};

struct Row {
  std::string size;
  bool checksum = false;
  double asio_us = 0;
  double splitnet_us = 0;
  double ratio = 0;
};

Row compare(const Size& size, bool checksum) {
  BareEcho bare(size.bytes, checksum);
  SplitnetEcho ours(size.bytes, checksum);
  for (int i = 0; i < std::max(3, size.calls / 2); ++i) {
    bare.round_trip();
    ours.round_trip();
  }
  std::vector<double> bare_us;
  std::vector<double> our_us;
  std::vector<double> ratios;
  for (int round = 0; round < size.rounds; ++round) {
    // Which goes first alternates too.
    double a = 0;
    double b = 0;
    if (round % 2 == 0) {
      a = p50_us(bare, size.calls);
      b = p50_us(ours, size.calls);
    } else {
      b = p50_us(ours, size.calls);
      a = p50_us(bare, size.calls);
    }
    bare_us.push_back(a);
    our_us.push_back(b);
    ratios.push_back(b / a);
  }
  return {size.name, checksum, median(bare_us), median(our_us), median(ratios)};
}

void print(const std::vector<Row>& rows) {
  std::printf("\n%-8s %-9s %14s %14s %12s\n", "payload", "checksum", "asio p50 [us]", "tcp p50 [us]", "tcp / asio");
  for (const auto& row : rows) {
    std::printf("%-8s %-9s %14.1f %14.1f %12.3f\n", row.size.c_str(), row.checksum ? "on" : "off", row.asio_us,
                row.splitnet_us, row.ratio);
  }
  std::printf("transports:");
  for (const auto& row : rows) {
    if (!row.checksum) std::printf(" tcp_over_asio_%s=%.3f", row.size.c_str(), row.ratio);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Row> rows;
  for (const bool checksum : {false, true}) {
    for (const auto& size : kSizes) {
      const auto name = std::string("tcp_round_trip/") + size.name + (checksum ? "/checksum_on" : "/checksum_off");
      benchmark::RegisterBenchmark(name.c_str(), [&rows, size, checksum](benchmark::State& state) {
        for (auto _ : state) {
          const auto row = compare(size, checksum);
          state.SetIterationTime(row.splitnet_us * 1e-6);
          state.counters["asio_p50_us"] = row.asio_us;
          state.counters["tcp_p50_us"] = row.splitnet_us;
          state.counters["tcp_over_asio"] = row.ratio;
          rows.push_back(row);
        }
      })->UseManualTime()->Iterations(1)->Unit(benchmark::kMicrosecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  print(rows);
  return 0;
}
