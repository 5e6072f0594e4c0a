// SPDX-License-Identifier: Apache-2.0
// gRPC C++, for bench/transports.py (echo_program.hpp): unary calls, or one bidirectional stream. Both sides poll their
// completion queues themselves, so that no call changes threads more often than it must; messages are made once.
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "echo.grpc.pb.h"
#include "echo_program.hpp"

namespace {

namespace bench = splitnet::bench;
using bench::Echo;
using bench::Payload;

bool is_stream(bench::Options& options) {
  const auto kind = options.take("calls", "unary");
  if (kind != "unary" && kind != "stream") throw std::runtime_error("--calls is unary or stream; found '" + kind + "'");
  return kind == "stream";
}

Payload make_payload(std::size_t bytes) {
  Payload payload;
  payload.set_data(std::string(bytes, 'x'));
  return payload;
}

/// Streams are served by blocking calls, unary ones by a thread of ours: only there can a reply that is ready be sent
/// without a copy.
class Server : public bench::EchoServer, private Echo::WithAsyncMethod_Unary<Echo::Service> {
 public:
  Server() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(std::numeric_limits<int>::max());
    builder.SetMaxSendMessageSize(std::numeric_limits<int>::max());
    builder.RegisterService(this);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    if (!server_) throw std::runtime_error("gRPC: the server can't be started");
    unary_ = std::thread([this] { serve_unary(); });
  }
  ~Server() override {
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    unary_.join();
  }
  [[nodiscard]] std::string address() const override { return "127.0.0.1:" + std::to_string(port_); }

 private:
  struct UnaryCall {
    grpc::ServerContext context;
    Payload request;
    grpc::ServerAsyncResponseWriter<Payload> responder{&context};
    bool answered = false;
  };

  void serve_unary() {
    await_call();
    void* tag = nullptr;
    for (bool ok = false; queue_->Next(&tag, &ok);) {
      auto call = std::unique_ptr<UnaryCall>(static_cast<UnaryCall*>(tag));
      if (!ok || call->answered) continue;
      await_call();
      call->answered = true;
      call->responder.Finish(replies_.of(bench::reply_bytes_of(call->request.data())), grpc::Status::OK, call.get());
      call.release();
    }
  }
  void await_call() {
    auto* call = new UnaryCall;  // Is the tag; owned by whoever takes that out of the queue.
    RequestUnary(&call->context, &call->request, &call->responder, queue_.get(), queue_.get(), call);
  }
  grpc::Status Stream(grpc::ServerContext*, grpc::ServerReaderWriter<Payload, Payload>* stream) override {
    for (Payload request; stream->Read(&request);) stream->Write(replies_.of(bench::reply_bytes_of(request.data())));
    return grpc::Status::OK;
  }

  bench::ReadyReplies<Payload> replies_{make_payload};
  int port_ = 0;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread unary_;
};

std::unique_ptr<Echo::Stub> connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(std::numeric_limits<int>::max());
  arguments.SetMaxSendMessageSize(std::numeric_limits<int>::max());
  return Echo::NewStub(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

Payload payload_of(const bench::Load& load) {
  const auto bytes = bench::make_request(load);
  Payload request;
  request.set_data(bytes.data(), bytes.size());
  return request;
}

/// The tag of what has happened next.
void* next_of(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  if (!queue.Next(&tag, &ok) || !ok) bench::fail("gRPC: the connection has ended");
  return tag;
}

class UnaryClient : public bench::EchoClient {
 public:
  explicit UnaryClient(const std::string& address) : stub_(connect(address)) {}

  bench::Measurement measure(const bench::Load& load) override {
    const Payload request = payload_of(load);
    const auto start = [&](std::size_t slot) {
      auto* call = new Call{.slot = slot, .context = {}, .reply = {}, .status = {}, .reader = nullptr};
      call->reader = stub_->AsyncUnary(&call->context, request, &queue_);
      call->reader->Finish(&call->reply, &call->status, call);
    };
    const auto wait = [&] {
      const std::unique_ptr<Call> call(static_cast<Call*>(next_of(queue_)));
      if (!call->status.ok()) bench::fail("gRPC: " + call->status.error_message());
      return bench::Ended{call->slot, call->reply.data().size()};
    };
    return bench::run_completions(load, start, wait);
  }

 private:
  struct Call {
    std::size_t slot;
    grpc::ClientContext context;
    Payload reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Payload>> reader;
  };
  std::unique_ptr<Echo::Stub> stub_;
  grpc::CompletionQueue queue_;
};

/// A stream has one write and one read under way at most; replies come in the order of requests.
class StreamClient : public bench::EchoClient {
 public:
  explicit StreamClient(const std::string& address)
      : stub_(connect(address)), stream_(stub_->AsyncStream(&context_, &queue_, nullptr)) {
    next_of(queue_);
    stream_->Read(&reply_, &reply_);
  }
  ~StreamClient() override { context_.TryCancel(); }

  bench::Measurement measure(const bench::Load& load) override {
    const Payload request = payload_of(load);
    const auto start = [&](std::size_t slot) {
      waiting_.push_back(slot);
      ++unsent_;
      write(request);
    };
    const auto wait = [&] {
      while (next_of(queue_) != &reply_) {
        writing_ = false;
        write(request);
      }
      const bench::Ended ended{waiting_.front(), reply_.data().size()};
      waiting_.pop_front();
      stream_->Read(&reply_, &reply_);
      return ended;
    };
    return bench::run_completions(load, start, wait);
  }

 private:
  void write(const Payload& request) {
    if (writing_ || unsent_ == 0) return;
    writing_ = true;
    --unsent_;
    stream_->Write(request, this);
  }

  std::unique_ptr<Echo::Stub> stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Payload, Payload>> stream_;
  Payload reply_;
  std::deque<std::size_t> waiting_;
  std::size_t unsent_ = 0;
  bool writing_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_echo_program(
      argc, argv,
      {"  --calls unary|stream   of the client (unary)\n", [](bench::Options&) { return std::make_unique<Server>(); },
       [](const std::string& address, bench::Options& options) -> std::unique_ptr<bench::EchoClient> {
         if (is_stream(options)) return std::make_unique<StreamClient>(address);
         return std::make_unique<UnaryClient>(address);
       }});
}
