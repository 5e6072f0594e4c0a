// SPDX-License-Identifier: Apache-2.0
// Calls over any endpoint of TransportRegistry::with_defaults, for bench/transports.py (echo_program.hpp).
#include <splitnet/transport_registry.hpp>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "echo_program.hpp"

namespace {

using namespace splitnet;

Tensor bytes_tensor(std::size_t bytes) {
  auto tensor = Tensor::empty(DType::u8, {static_cast<std::int64_t>(bytes)});
  std::memset(tensor.data(), 'x', bytes);
  return tensor;
}

class Server : public bench::EchoServer {
 public:
  explicit Server(bench::Options& options) {
    ListenOptions listen;
    listen.payload_checksum = options.take_switch("checksum", true);
    listener_ = registry_.listen(
        options.take("endpoint", "tcp://127.0.0.1:0"),
        [this](const Message& request, const CallContext&, const Responder& respond) { respond(answer(request)); },
        listen);
  }
  [[nodiscard]] std::string address() const override { return listener_->address(); }

 private:
  Message answer(const Message& request) {
    const Tensor& payload = request.values.at(0).tensor();
    Message reply;
    reply.kind = MessageKind::reply;
    reply.values.emplace_back(
        replies_.of(bench::reply_bytes_of({reinterpret_cast<const char*>(payload.data()), payload.packed_bytes()})));
    return reply;
  }

  bench::ReadyReplies<Tensor> replies_{bytes_tensor};
  TransportRegistry registry_ = TransportRegistry::with_defaults();
  std::unique_ptr<Listener> listener_;
};

class Client : public bench::EchoClient {
 public:
  Client(const std::string& address, bench::Options& options) {
    ConnectOptions connect;
    connect.payload_checksum = options.take_switch("checksum", true);
    connection_ = registry_.connect(address, connect);
  }

  bench::Measurement measure(const bench::Load& load) override {
    const auto bytes = bench::make_request(load);
    auto tensor = bytes_tensor(bytes.size());
    std::memcpy(tensor.data(), bytes.data(), bytes.size());
    Message request;
    request.values.emplace_back(std::move(tensor));
    if (load.in_flight == 1) {
      return bench::run_blocking(load, [&](std::size_t) { return size_of(call_and_wait(*connection_, request)); });
    }
    bench::EndedCalls ended;
    return bench::run_completions(
        load,
        [&](std::size_t slot) {
          connection_->call(request, {}, {}, [&ended, slot](const CallResult& result) {
            if (const auto* error = std::get_if<Error>(&result)) bench::fail(error->what());
            ended.push({slot, size_of(std::get<Message>(result))});
          });
        },
        [&] { return ended.wait(); });
  }

 private:
  static std::size_t size_of(const Message& reply) {
    if (reply.kind == MessageKind::error) bench::fail(reply.error_message);
    return reply.values.at(0).tensor().packed_bytes();
  }

  TransportRegistry registry_ = TransportRegistry::with_defaults();
  std::unique_ptr<Connection> connection_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--schemes") {
    for (const auto& scheme : TransportRegistry::with_defaults().schemes()) std::printf("%s\n", scheme.c_str());
    return 0;
  }
  return bench::run_echo_program(
      argc, argv,
      {"  --endpoint URI      where the server listens (tcp://127.0.0.1:0)\n"
       "  --checksum on|off   over payloads (on)\n"
       "or: --schemes         prints those of the registry\n",
       [](bench::Options& options) { return std::make_unique<Server>(options); },
       [](const std::string& address, bench::Options& options) { return std::make_unique<Client>(address, options); }});
}
