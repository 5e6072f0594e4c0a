// SPDX-License-Identifier: Apache-2.0
// Calls over any endpoint of TransportRegistry::with_defaults, for bench/transports.py (echo_program.hpp).
#include <splitnet/transport_registry.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
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

/// The least that a stage does with what it gets: it looks at every byte once.
void read_all(const Tensor& tensor) {
  std::uint64_t sum = 0;
  const std::span words(reinterpret_cast<const std::uint64_t*>(tensor.data()), tensor.packed_bytes() / 8);
  for (const auto word : words) sum += word;
  [[maybe_unused]] static volatile std::uint64_t kept;  // Else no compiler would read at all.
  kept = sum;
}

TlsOptions take_tls(bench::Options& options) {
  TlsOptions tls;
  tls.certificate_file = options.take("certificate", "");
  tls.private_key_file = options.take("key", "");
  tls.ca_file = options.take("ca", "");
  return tls;
}

class Server : public bench::EchoServer {
 public:
  explicit Server(bench::Options& options)
      : reads_(options.take_switch("read", false)), registry_(TransportRegistry::with_defaults(take_tls(options))) {
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
    if (reads_) read_all(payload);
    Message reply;
    reply.kind = MessageKind::reply;
    reply.values.emplace_back(
        replies_.of(bench::reply_bytes_of({reinterpret_cast<const char*>(payload.data()), payload.packed_bytes()})));
    return reply;
  }

  const bool reads_;
  bench::ReadyReplies<Tensor> replies_{bytes_tensor};
  TransportRegistry registry_;
  std::unique_ptr<Listener> listener_;
};

class Client : public bench::EchoClient {
 public:
  Client(const std::string& address, bench::Options& options)
      : registry_(TransportRegistry::with_defaults(take_tls(options))),
        allocates_(options.take_switch("allocate", false)) {
    ConnectOptions connect;
    connect.payload_checksum = options.take_switch("checksum", true);
    connection_ = registry_.connect(address, connect);
  }

  bench::Measurement measure(const bench::Load& load) override {
    const auto bytes = bench::make_request(load);
    auto storage = allocates_ ? connection_->allocate(bytes.size()) : Storage::allocate(bytes.size());
    std::memcpy(storage.data(), bytes.data(), bytes.size());
    Message request;
    request.values.emplace_back(
        Tensor{std::move(storage), DType::u8, {static_cast<std::int64_t>(bytes.size())}, {1}, 0});
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

  TransportRegistry registry_;
  const bool allocates_;
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
      {"  --endpoint URI       where the server listens (tcp://127.0.0.1:0)\n"
       "  --checksum on|off    over payloads (on)\n"
       "  --read on|off        the server adds up all bytes of the request (off)\n"
       "  --allocate on|off    the request lies in memory of Connection::allocate (off)\n"
       "  --certificate FILE --key FILE --ca FILE   of the server, and whom the client trusts\n"
       "or: --schemes          prints those of the registry\n",
       [](bench::Options& options) { return std::make_unique<Server>(options); },
       [](const std::string& address, bench::Options& options) { return std::make_unique<Client>(address, options); }});
}
