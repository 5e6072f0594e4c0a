// SPDX-License-Identifier: Apache-2.0
// The limit for shared memory, for bench/transports.py (echo_program.hpp): the request is copied once and the reply is
// copied once, by the client, in one process and with nobody to wait for. The server does nothing.
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "echo_program.hpp"

namespace {

namespace bench = splitnet::bench;

class Server : public bench::EchoServer {
 public:
  [[nodiscard]] std::string address() const override { return "nobody"; }
};

class Client : public bench::EchoClient {
 public:
  bench::Measurement measure(const bench::Load& load) override {
    const auto request = bench::make_request(load);
    const std::vector<char> answer(load.reply_bytes, 'x');
    std::vector<char> sent(load.request_bytes);
    std::vector<char> reply(load.reply_bytes);
    return bench::run_blocking(load, [&](std::size_t) {
      std::memcpy(sent.data(), request.data(), request.size());
      std::memcpy(reply.data(), answer.data(), answer.size());
      // The copies are used: neither may be left out.
      asm volatile("" : : "r"(sent.data()), "r"(reply.data()) : "memory");
      return reply.size();
    });
  }
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_echo_program(argc, argv,
                                 {"", [](bench::Options&) { return std::make_unique<Server>(); },
                                  [](const std::string&, bench::Options&) { return std::make_unique<Client>(); }});
}
