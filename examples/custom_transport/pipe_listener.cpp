// SPDX-License-Identifier: Apache-2.0
#include "pipe_listener.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "message_loop.hpp"

namespace custom {
namespace {

using namespace splitnet;
using Clock = std::chrono::steady_clock;

/// One connection. Handlers run on its thread, answers come from any.
class Served : public MessageLoop, public std::enable_shared_from_this<Served> {
 public:
  Served(Pipes pipes, std::shared_ptr<const Handler> handler, const ListenOptions& options)
      : MessageLoop(std::move(pipes), options.limits, options.max_queued_bytes),
        handler_(std::move(handler)),
        options_(options) {}

  void answer(std::uint64_t id, Message reply);

 private:
  void on_message(Message message) override;
  void on_end(const Error& reason) override;
  bool may_read() override {
    const std::lock_guard lock(mutex_);
    return calls_.size() < options_.max_calls_in_flight;
  }
  void serve(Message request);

  const std::shared_ptr<const Handler> handler_;
  const ListenOptions options_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::stop_source> calls_;
};

/// What all copies of a responder share: the first call wins, and the last copy that goes answers for all.
class Answer {
 public:
  Answer(std::weak_ptr<Served> served, std::uint64_t id) : served_(std::move(served)), id_(id) {}
  ~Answer() { give(Message::make_error(Error(ErrorCode::internal, "handler: dropped its responder"))); }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  void give(Message reply) {
    if (given_.exchange(true)) return;
    if (const auto served = served_.lock()) served->answer(id_, std::move(reply));
  }

 private:
  const std::weak_ptr<Served> served_;
  const std::uint64_t id_;
  std::atomic<bool> given_{false};
};

void Served::on_message(Message message) {
  switch (message.kind) {
    case MessageKind::request: return serve(std::move(message));
    case MessageKind::cancel: {
      std::stop_source stop(std::nostopstate);
      {
        const std::lock_guard lock(mutex_);
        if (const auto found = calls_.find(message.id); found != calls_.end()) stop = found->second;
      }
      stop.request_stop();  // Runs callbacks of the handler's: without the lock.
      return;
    }
    case MessageKind::hello: return;
    default: throw Error(ErrorCode::corrupt, "listener: got a reply instead of a request");
  }
}

void Served::serve(Message request) {
  CallContext context;
  context.peer = "pipe";
  // A peer may claim any time: adding centuries to the clock would overflow.
  if (request.time_left && *request.time_left < std::chrono::hours(24 * 365)) {
    context.deadline = Clock::now() + std::max(*request.time_left, std::chrono::nanoseconds(0));
  }
  {
    const std::lock_guard lock(mutex_);
    const auto [call, is_new] = calls_.try_emplace(request.id);
    if (!is_new) return;  // The first one will be answered.
    context.stop = call->second.get_token();
  }
  const auto answer = std::make_shared<Answer>(weak_from_this(), request.id);
  try {
    (*handler_)(std::move(request), std::move(context), [answer](Message reply) { answer->give(std::move(reply)); });
  } catch (const Error& error) {
    answer->give(Message::make_error(error));
  } catch (const std::exception& error) {
    answer->give(Message::make_error(Error(ErrorCode::internal, std::string("handler: ") + error.what())));
  } catch (...) {
    answer->give(Message::make_error(Error(ErrorCode::internal, "handler: threw something unknown")));
  }
}

void Served::answer(std::uint64_t id, Message reply) {
  {
    const std::lock_guard lock(mutex_);
    if (calls_.erase(id) == 0) return;  // The caller is gone.
  }
  if (reply.kind != MessageKind::error) reply.kind = MessageKind::reply;
  reply.id = id;
  EncodedMessage encoded;
  try {
    encoded = encode(reply, options_.payload_checksum.value_or(false), options_.limits);
  } catch (const Error& error) {
    reply = Message::make_error(error);
    reply.id = id;
    encoded = encode(reply);
  }
  if (!send(std::move(encoded))) hang_up(Error(ErrorCode::overloaded, "pipe: the peer does not read its replies"));
}

void Served::on_end(const Error&) {
  std::map<std::uint64_t, std::stop_source> calls;
  {
    const std::lock_guard lock(mutex_);
    calls.swap(calls_);
  }
  for (auto& [id, stop] : calls) stop.request_stop();
  finish();
}

class PipeListener : public Listener {
 public:
  PipeListener(const std::filesystem::path& folder, Handler handler, const ListenOptions& options)
      : address_("pipe://" + folder.string()),
        door_(std::in_place, folder),
        wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        handler_(std::make_shared<const Handler>(std::move(handler))),
        options_(options),
        thread_([this](const std::stop_token& stop) { accept(stop); }) {}
  ~PipeListener() override { close(); }

  [[nodiscard]] std::string address() const override { return address_; }

  void close() override {
    const std::lock_guard lock(closing_);
    if (!thread_.joinable()) return;
    thread_.request_stop();
    const std::uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
    thread_.join();
    door_.reset();
    for (auto& peer : peers_) peer.served->hang_up(Error(ErrorCode::unavailable, "listener: closed"));
    peers_.clear();
  }

 private:
  struct Peer {
    explicit Peer(std::shared_ptr<Served> peer)
        : served(std::move(peer)), thread([this] {
            served->run();
            is_done = true;
          }) {}
    std::shared_ptr<Served> served;
    std::atomic<bool> is_done{false};
    std::jthread thread;
  };

  void accept(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::erase_if(peers_, [](const Peer& peer) { return peer.is_done.load(); });
      const bool is_full = peers_.size() >= options_.max_connections;  // Then callers wait at the door.
      std::array<pollfd, 2> waited{{{wake_.get(), POLLIN, 0}, {is_full ? -1 : door_->descriptor(), POLLIN, 0}}};
      ::poll(waited.data(), waited.size(), 1000);
      if ((waited[1].revents & POLLIN) == 0) continue;
      try {
        if (auto pipes = door_->take()) {
          peers_.emplace_back(std::make_shared<Served>(*std::move(pipes), handler_, options_));
        }
      } catch (const std::exception&) {  // No descriptors or threads left: this caller is turned away.
      }
    }
  }

  const std::string address_;
  std::optional<Door> door_;
  const Descriptor wake_;
  const std::shared_ptr<const Handler> handler_;
  const ListenOptions options_;
  std::list<Peer> peers_;
  std::mutex closing_;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<Listener> listen_at_pipe(const std::filesystem::path& folder, Handler handler,
                                         const ListenOptions& options) {
  return std::make_unique<PipeListener>(folder, std::move(handler), options);
}

}  // namespace custom
