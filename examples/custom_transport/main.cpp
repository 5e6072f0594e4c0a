// SPDX-License-Identifier: Apache-2.0
// A transport of one's own beside those of the library: two processes, and tensors through named pipes.
//   custom_transport serve ENDPOINT   adds up what it is sent, until its standard input ends
//   custom_transport call ENDPOINT    sends a million numbers
// ENDPOINT is pipe:///folder, or any other: tcp://127.0.0.1:7070 works as well.
#include <splitnet/core.hpp>

#include <cstdio>
#include <iostream>
#include <numeric>
#include <string>

#include "pipe_transport.hpp"

namespace {

using namespace splitnet;

void add_up(const Message& request, const CallContext&, const Responder& respond) {
  const Tensor& numbers = request.values.at(0).tensor();
  const auto* first = reinterpret_cast<const std::int64_t*>(numbers.data());
  Message reply;
  reply.values.emplace_back(std::accumulate(first, first + numbers.element_count(), std::int64_t{0}));
  respond(std::move(reply));
}

Message million_numbers() {
  Tensor numbers = Tensor::empty(DType::i64, {1'000'000});
  auto* first = reinterpret_cast<std::int64_t*>(numbers.data());
  std::iota(first, first + numbers.element_count(), std::int64_t{0});
  Message request;
  request.values.emplace_back(std::move(numbers));
  return request;
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string role = argc == 3 ? argv[1] : "";
  auto transports = TransportRegistry::with_defaults();
  transports.add("pipe", custom::make_pipe_transport());
  if (role == "serve") {
    const auto listener = transports.listen(argv[2], add_up);
    std::printf("%s\n", listener->address().c_str());
    std::fflush(stdout);
    while (std::cin.get() != EOF) {
    }
    return 0;
  }
  if (role == "call") {
    const auto connection = transports.connect(argv[2]);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    const Message reply = call_and_wait(*connection, million_numbers(), deadline);
    std::printf("the sum is %lld\n", static_cast<long long>(reply.values.at(0).integer()));
    return 0;
  }
  std::fprintf(stderr, "usage: %s serve|call pipe:///folder\n", argv[0]);
  return 2;
} catch (const splitnet::Error& error) {
  std::fprintf(stderr, "custom_transport: %s\n", error.what());
  return 1;
}
