// SPDX-License-Identifier: Apache-2.0
// The least that any TCP transport can do, for bench/transports.py (echo_program.hpp): a bare, blocking Asio server
// that reads a whole length-prefixed message and writes one back. A connection and a thread on either side for each
// call in flight.
#include <utility>  // Asio 1.74 uses std::exchange without including it.

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "echo_program.hpp"

namespace {

namespace asio = boost::asio;
namespace bench = splitnet::bench;
using asio::ip::tcp;

struct StreamOptions {
  explicit StreamOptions(bench::Options& options) : checksum(options.take_switch("checksum", true)) {
    const auto calls = options.take("calls", "chunked");
    if (calls != "chunked" && calls != "whole") {
      throw std::runtime_error("--calls is chunked or whole; found '" + calls + "'");
    }
    chunked = calls == "chunked";
  }
  bool checksum;
  /// asio::read and asio::write, which move 64 KiB at most per system call; otherwise the kernel is asked for
  /// everything at once, the strictest yardstick there is.
  bool chunked = true;
};

/// Eight bytes of length, eight of checksum, then the payload.
class BareStream {
 public:
  BareStream(tcp::socket socket, const StreamOptions& options) : socket_(std::move(socket)), options_(options) {
    socket_.set_option(tcp::no_delay(true));
  }
  void write(const std::vector<char>& payload) {
    const std::uint64_t head[2] = {payload.size(), hash(payload)};
    if (options_.chunked) {
      asio::write(socket_, std::array{asio::buffer(head, sizeof head), asio::buffer(payload)});
      return;
    }
    std::size_t sent = socket_.write_some(std::array{asio::buffer(head, sizeof head), asio::buffer(payload)});
    for (const auto total = sizeof head + payload.size(); sent < total;) {
      // Does not happen on a blocking socket with an empty buffer.
      if (sent < sizeof head) bench::fail("half a header was sent");
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
    if (options_.chunked) {
      asio::read(socket_, asio::buffer(payload));
    } else {
      for (std::size_t got = 0; got < payload.size();) {
        got += socket_.read_some(asio::buffer(payload.data() + got, payload.size() - got));
      }
    }
    if (hash(payload) != head[1]) bench::fail("a payload is not what its checksum says");
    return true;
  }

 private:
  [[nodiscard]] std::uint64_t hash(const std::vector<char>& payload) const {
    return options_.checksum ? XXH3_64bits(payload.data(), payload.size()) : 0;
  }
  tcp::socket socket_;
  StreamOptions options_;
};

/// Its threads end with the process.
class Server : public bench::EchoServer {
 public:
  explicit Server(bench::Options& options)
      : options_(options), acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    std::thread([this] {
      for (;;) std::thread([this, socket = acceptor_.accept()]() mutable { serve(std::move(socket)); }).detach();
    }).detach();
  }
  [[nodiscard]] std::string address() const override { return std::to_string(acceptor_.local_endpoint().port()); }

 private:
  void serve(tcp::socket socket) {
    BareStream peer(std::move(socket), options_);
    std::vector<char> received;
    while (peer.read(received)) peer.write(replies_.of(bench::reply_bytes_of(received)));
  }
  const StreamOptions options_;
  bench::ReadyReplies<std::vector<char>> replies_{[](std::size_t bytes) { return std::vector<char>(bytes, 'x'); }};
  asio::io_context context_;
  tcp::acceptor acceptor_;
};

class Client : public bench::EchoClient {
 public:
  Client(const std::string& address, bench::Options& options)
      : options_(options), server_(asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(std::stoul(address))) {}

  bench::Measurement measure(const bench::Load& load) override {
    const auto request = bench::make_request(load);
    std::vector<std::vector<char>> replies(load.in_flight);
    while (streams_.size() < load.in_flight) {
      tcp::socket socket(context_);
      socket.connect(server_);
      streams_.push_back(std::make_unique<BareStream>(std::move(socket), options_));
    }
    return bench::run_blocking(load, [&](std::size_t slot) {
      streams_[slot]->write(request);
      if (!streams_[slot]->read(replies[slot])) bench::fail("the server has closed the connection");
      return replies[slot].size();
    });
  }

 private:
  const StreamOptions options_;
  asio::io_context context_;
  const tcp::endpoint server_;
  std::vector<std::unique_ptr<BareStream>> streams_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_echo_program(
      argc, argv,
      {"  --calls chunked|whole   asio::read and asio::write, or as much as the kernel takes per system call "
       "(chunked)\n"
       "  --checksum on|off       xxh3 over payloads (on)\n",
       [](bench::Options& options) { return std::make_unique<Server>(options); },
       [](const std::string& address, bench::Options& options) { return std::make_unique<Client>(address, options); }});
}
