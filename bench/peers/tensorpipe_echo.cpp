// SPDX-License-Identifier: Apache-2.0
// TensorPipe's C++ API, as the torch wheel exports it, for bench/transports.py (echo_program.hpp). A message has one
// tensor, which travels through a channel, or one payload, which travels with the message itself and is faster; replies
// come in the order of requests.
#include <tensorpipe/tensorpipe.h>

#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "echo_program.hpp"

namespace {

namespace bench = splitnet::bench;
using Bytes = std::vector<char>;

void expect_none(const tensorpipe::Error& error) {
  if (error) bench::fail("TensorPipe: " + error.what());
}

/// What the two sides have to agree on.
struct Road {
  explicit Road(bench::Options& options) {
    const auto kind = options.take("road", "tcp");
    const auto carry = options.take("carry", "payload");
    if (kind != "tcp" && kind != "shm") throw std::runtime_error("--road is tcp or shm; found '" + kind + "'");
    if (carry != "payload" && carry != "tensor") {
      throw std::runtime_error("--carry is payload or tensor; found '" + carry + "'");
    }
    tensors = carry == "tensor";
    if (kind == "tcp") {
      scheme = "uv";
      listen_at = "uv://127.0.0.1:0";
      context.registerTransport(0, scheme, tensorpipe::transport::uv::create());
      context.registerChannel(0, "basic", tensorpipe::channel::basic::create());
    } else {
      scheme = "shm";
      listen_at = "shm://";
      context.registerTransport(0, scheme, tensorpipe::transport::shm::create());
      context.registerChannel(0, "cma", tensorpipe::channel::cma::create());
    }
  }
  bool tensors = false;
  std::string scheme;
  std::string listen_at;
  tensorpipe::Context context;
};

/// A pipe that receives one message after another, in buffers that are used again. Its callbacks never overlap.
class Pipe {
 public:
  Pipe(std::shared_ptr<tensorpipe::Pipe> pipe, bool tensors, std::function<void(const Bytes&)> arrived)
      : pipe_(std::move(pipe)), tensors_(tensors), arrived_(std::move(arrived)) {
    receive();
  }

  /// `bytes` stay where they are until they have been written.
  void write(Bytes& bytes) {
    tensorpipe::Message message;
    if (tensors_) {
      auto& tensor = message.tensors.emplace_back();
      tensor.buffer = tensorpipe::CpuBuffer{bytes.data()};
      tensor.length = bytes.size();
    } else {
      auto& payload = message.payloads.emplace_back();
      payload.data = bytes.data();
      payload.length = bytes.size();
    }
    pipe_->write(std::move(message), expect_none);
  }

 private:
  void receive() {
    pipe_->readDescriptor([this](const tensorpipe::Error& error, const tensorpipe::Descriptor& descriptor) {
      if (error) return;  // The other side has closed.
      if (spare_.empty()) spare_.push_back(std::make_shared<Bytes>());
      const auto buffer = std::move(spare_.back());
      spare_.pop_back();
      tensorpipe::Allocation allocation;
      if (tensors_) {
        buffer->resize(descriptor.tensors.at(0).length);
        allocation.tensors.push_back({tensorpipe::CpuBuffer{buffer->data()}});
      } else {
        buffer->resize(descriptor.payloads.at(0).length);
        allocation.payloads.push_back({buffer->data()});
      }
      pipe_->read(std::move(allocation), [this, buffer](const tensorpipe::Error& failed) {
        expect_none(failed);
        arrived_(*buffer);
        spare_.push_back(buffer);
      });
      receive();
    });
  }

  const std::shared_ptr<tensorpipe::Pipe> pipe_;
  const bool tensors_;
  const std::function<void(const Bytes&)> arrived_;
  std::vector<std::shared_ptr<Bytes>> spare_;
};

class Server : public bench::EchoServer {
 public:
  explicit Server(bench::Options& options) : road_(options), listener_(road_.context.listen({road_.listen_at})) {
    accept();
  }
  ~Server() override {
    road_.context.close();
    road_.context.join();
  }
  [[nodiscard]] std::string address() const override { return listener_->url(road_.scheme); }

 private:
  void accept() {
    listener_->accept([this](const tensorpipe::Error& error, std::shared_ptr<tensorpipe::Pipe> accepted) {
      if (error) return;  // Closed.
      pipes_.emplace_back();
      auto& pipe = pipes_.back();
      pipe = std::make_unique<Pipe>(std::move(accepted), road_.tensors, [this, &pipe](const Bytes& request) {
        pipe->write(replies_.of(bench::reply_bytes_of(request)));
      });
      accept();
    });
  }

  bench::ReadyReplies<Bytes> replies_{[](std::size_t bytes) { return Bytes(bytes, 'x'); }};
  std::deque<std::unique_ptr<Pipe>> pipes_;
  Road road_;
  std::shared_ptr<tensorpipe::Listener> listener_;
};

class Client : public bench::EchoClient {
 public:
  Client(const std::string& address, bench::Options& options)
      : road_(options), pipe_(road_.context.connect(address), road_.tensors, [this](const Bytes& reply) {
          const std::lock_guard lock(mutex_);
          ended_.push({waiting_.front(), reply.size()});
          waiting_.pop_front();
        }) {}
  ~Client() override {
    road_.context.close();
    road_.context.join();
  }

  bench::Measurement measure(const bench::Load& load) override {
    request_ = bench::make_request(load);
    const auto start = [&](std::size_t slot) {
      {
        const std::lock_guard lock(mutex_);
        waiting_.push_back(slot);
      }
      pipe_.write(request_);
    };
    return bench::run_completions(load, start, [&] { return ended_.wait(); });
  }

 private:
  std::mutex mutex_;
  std::deque<std::size_t> waiting_;  // Under the mutex.
  bench::EndedCalls ended_;
  Bytes request_;
  Road road_;
  Pipe pipe_;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_echo_program(
      argc, argv,
      {"  --road tcp|shm           uv and basic, or shm and cma; the same on both sides (tcp)\n"
       "  --carry payload|tensor   the same on both sides (payload)\n",
       [](bench::Options& options) { return std::make_unique<Server>(options); },
       [](const std::string& address, bench::Options& options) { return std::make_unique<Client>(address, options); }});
}
