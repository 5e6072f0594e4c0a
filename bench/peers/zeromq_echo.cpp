// SPDX-License-Identifier: Apache-2.0
// ZeroMQ, for bench/transports.py (echo_program.hpp): a DEALER asks a ROUTER. Messages are sent from memory of ours
// without a copy; replies come in the order of requests.
#include <zmq.h>

#include <array>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "echo_program.hpp"

namespace {

namespace bench = splitnet::bench;

void expect(bool done, const char* what) {
  if (!done) bench::fail(std::string("ZeroMQ: ") + what + ": " + zmq_strerror(zmq_errno()));
}

class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  /// `bytes` stay as they are until they have been sent.
  explicit Message(std::vector<char>& bytes) {
    const auto keep = [](void*, void*) {};
    expect(zmq_msg_init_data(&message_, bytes.data(), bytes.size(), keep, nullptr) == 0, "message");
  }
  ~Message() { zmq_msg_close(&message_); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  void send(void* socket, int flags = 0) { expect(zmq_msg_send(&message_, socket, flags) != -1, "send"); }
  void receive(void* socket) { expect(zmq_msg_recv(&message_, socket, 0) != -1, "receive"); }
  std::span<const char> bytes() { return {static_cast<const char*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)}; }

 private:
  zmq_msg_t message_;
};

/// Its threads end with the process.
class Server : public bench::EchoServer {
 public:
  Server() {
    void* const socket = zmq_socket(zmq_ctx_new(), ZMQ_ROUTER);
    expect(socket && zmq_bind(socket, "tcp://127.0.0.1:*") == 0, "bind");
    std::array<char, 256> endpoint{};
    std::size_t size = endpoint.size();
    expect(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint.data(), &size) == 0, "address");
    address_ = endpoint.data();
    std::thread([this, socket] { serve(socket); }).detach();
  }
  [[nodiscard]] std::string address() const override { return address_; }

 private:
  void serve(void* socket) {
    for (;;) {
      Message from;
      Message request;
      from.receive(socket);
      request.receive(socket);
      from.send(socket, ZMQ_SNDMORE);
      Message(replies_.of(bench::reply_bytes_of(request.bytes()))).send(socket);
    }
  }
  bench::ReadyReplies<std::vector<char>> replies_{[](std::size_t bytes) { return std::vector<char>(bytes, 'x'); }};
  std::string address_;
};

class Client : public bench::EchoClient {
 public:
  explicit Client(const std::string& address) : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_DEALER)) {
    expect(socket_ && zmq_connect(socket_, address.c_str()) == 0, "connect");
  }
  ~Client() override {
    const int linger = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bench::Measurement measure(const bench::Load& load) override {
    auto request = bench::make_request(load);
    std::deque<std::size_t> waiting;
    const auto start = [&](std::size_t slot) {
      Message(request).send(socket_);
      waiting.push_back(slot);
    };
    const auto wait = [&] {
      Message reply;
      reply.receive(socket_);
      const bench::Ended ended{waiting.front(), reply.bytes().size()};
      waiting.pop_front();
      return ended;
    };
    return bench::run_completions(load, start, wait);
  }

 private:
  void* context_;
  void* socket_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_echo_program(
      argc, argv,
      {"", [](bench::Options&) { return std::make_unique<Server>(); },
       [](const std::string& address, bench::Options&) { return std::make_unique<Client>(address); }});
}
