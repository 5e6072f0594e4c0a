// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/inproc.hpp"

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <unordered_set>
#include <utility>

#include "asio.hpp"
#include "call_table.hpp"
#include "io_thread.hpp"
#include "served_calls.hpp"
#include "within_room.hpp"

namespace splitnet {
namespace {

using detail::CallTable;
using detail::IoThread;
using detail::ServedCalls;
using Context = std::shared_ptr<detail::asio::io_context>;

/// Tells the connections of this process apart, also those of several listeners.
std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

std::string parse_name(const std::string& endpoint) {
  constexpr std::string_view scheme = "inproc://";
  if (!endpoint.starts_with(scheme) || endpoint.size() == scheme.size()) {
    throw Error(ErrorCode::invalid_argument, "endpoint '" + endpoint + "': expected inproc://name");
  }
  return endpoint.substr(scheme.size());
}

// What the tensors would take on a wire. Metadata is not written here, so it is not measured either.
void check_size(const Message& message, const MessageLimits& limits) {
  const std::size_t bytes = message_header_bytes + packed_bytes(message.values);
  if (bytes > limits.max_message_bytes) {
    throw Error(ErrorCode::too_large, "message: " + std::to_string(bytes) + " bytes, over the limit of " +
                                          std::to_string(limits.max_message_bytes));
  }
}

/// A connection as its listener sees it. Thread-safe.
class Peer : public std::enable_shared_from_this<Peer> {
 public:
  Peer(Context context, std::shared_ptr<const Handler> handler, const ListenOptions& options)
      : context_(std::move(context)), handler_(std::move(handler)), options_(options) {}

  void attach(const Context& caller_context, const std::weak_ptr<CallTable>& caller) {
    caller_ = caller;
    caller_context_ = caller_context;
    calls_ = std::make_shared<ServedCalls>([caller_context, caller, self = weak_from_this()](Message reply) {
      answer(caller_context, caller, std::move(reply));
      if (auto peer = self.lock()) peer->wake();
    });
  }

  void request(Message message) {
    {
      const std::lock_guard lock(mutex_);
      waiting_.push_back(std::move(message));
    }
    wake();
  }

  void cancel(std::uint64_t id) {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(waiting_, [id](const Message& message) { return message.id == id; });
    }
    calls_->cancel(id);
  }

  /// Either side closed.
  void close(const char* why) {
    calls_->close();
    // Behind the answers that were given before.
    detail::asio::post(*caller_context_, [caller = caller_, why] {
      if (auto calls = caller.lock()) calls->close(Error(ErrorCode::unavailable, why));
    });
    const std::lock_guard lock(mutex_);
    waiting_.clear();
  }

 private:
  static void answer(const Context& context, const std::weak_ptr<CallTable>& caller, Message reply) {
    // Weak: a context that runs no more would keep the table, which keeps the context.
    detail::asio::post(*context, [caller, reply = std::move(reply)]() mutable {
      const auto id = reply.id;
      if (auto calls = caller.lock()) calls->finish_here(id, std::move(reply));
    });
  }

  void wake() {
    detail::asio::post(*context_, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->serve();
    });
  }

  void serve() {
    while (calls_->in_flight() < options_.max_calls_in_flight) {
      Message message;
      {
        const std::lock_guard lock(mutex_);
        if (waiting_.empty()) return;
        message = std::move(waiting_.front());
        waiting_.pop_front();
      }
      calls_->serve(std::move(message), *handler_, name_);
    }
  }

  const Context context_;
  const std::shared_ptr<const Handler> handler_;
  const ListenOptions options_;
  const std::string name_ = "inproc:" + std::to_string(next_number());
  std::weak_ptr<CallTable> caller_;
  Context caller_context_;
  std::shared_ptr<ServedCalls> calls_;
  std::mutex mutex_;
  std::deque<Message> waiting_;
};

/// A listener as its connections see it. Thread-safe.
class Host {
 public:
  Host(Context context, Handler handler, const ListenOptions& options)
      : context_(std::move(context)),
        handler_(std::make_shared<const Handler>(std::move(handler))),
        options_(options) {}

  /// Null when closed.
  std::shared_ptr<Peer> join(const Context& caller_context, const std::weak_ptr<CallTable>& caller) {
    auto peer = std::make_shared<Peer>(context_, handler_, options_);
    peer->attach(caller_context, caller);
    const std::lock_guard lock(mutex_);
    if (closed_) return nullptr;
    if (peers_.size() >= options_.max_connections) {
      throw Error(ErrorCode::overloaded,
                  "inproc listener: all " + std::to_string(options_.max_connections) + " connections are in use");
    }
    peers_.insert(peer);
    return peer;
  }
  void leave(const std::shared_ptr<Peer>& peer) {
    const std::lock_guard lock(mutex_);
    peers_.erase(peer);
  }
  void close() {
    std::unordered_set<std::shared_ptr<Peer>> peers;
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      peers.swap(peers_);
    }
    for (const auto& peer : peers) peer->close("inproc listener: closed");
  }

 private:
  const Context context_;
  const std::shared_ptr<const Handler> handler_;
  const ListenOptions options_;
  std::mutex mutex_;
  std::unordered_set<std::shared_ptr<Peer>> peers_;
  bool closed_ = false;
};

struct Names {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Host>> hosts;
};

class InprocListener : public Listener {
 public:
  InprocListener(std::shared_ptr<Names> names, const std::string& name, Handler handler, const ListenOptions& options)
      : names_(std::move(names)),
        name_(name),
        host_(std::make_shared<Host>(thread_.context(), std::move(handler), options)) {
    const std::lock_guard lock(names_->mutex);
    if (!names_->hosts.try_emplace(name_, host_).second) {
      throw Error(ErrorCode::unavailable, "listen on '" + address() + "': the name is in use");
    }
  }
  ~InprocListener() override { close(); }

  [[nodiscard]] std::string address() const override { return "inproc://" + name_; }

  void close() override {
    {
      const std::lock_guard lock(names_->mutex);
      const auto found = names_->hosts.find(name_);
      if (found != names_->hosts.end() && found->second == host_) names_->hosts.erase(found);
    }
    host_->close();
    thread_.finish();
  }

 private:
  IoThread thread_;
  const std::shared_ptr<Names> names_;
  const std::string name_;
  const std::shared_ptr<Host> host_;
};

class InprocConnection : public Connection {
 public:
  InprocConnection(std::shared_ptr<Host> host, std::string endpoint, const ConnectOptions& options)
      : options_(options), endpoint_(std::move(endpoint)), host_(std::move(host)), peer_(std::make_shared<Link>()) {
    calls_ = std::make_shared<CallTable>(thread_.context(), options.max_calls_in_flight,
                                         [link = peer_](std::uint64_t id) { link->peer->cancel(id); });
    peer_->peer = host_->join(thread_.context(), calls_);
    if (!peer_->peer) throw nobody(endpoint_);
  }
  ~InprocConnection() override { close(); }

  static Error nobody(const std::string& endpoint) {
    return Error(ErrorCode::unavailable, "connect to '" + endpoint + "': nobody listens under this name");
  }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    const auto calls = calls_;  // The completion may destroy this connection before `call` has returned.
    const auto id = calls->begin(deadline, stop, std::move(done));
    if (id == 0) return;
    request.id = id;
    request.time_left.reset();
    if (deadline) request.time_left = *deadline - std::chrono::steady_clock::now();
    try {
      check_size(request, options_.limits);
      peer_->peer->request(std::move(request));
    } catch (const Error& error) {
      calls->finish_later(id, error);
    }
    calls->watch(id, stop);
  }

  void close() override {
    calls_->close(Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': closed"));
    peer_->peer->close("connection: closed");
    host_->leave(peer_->peer);
  }

 private:
  // The table is needed to join and the peer to cancel: one of them has to be filled in later.
  struct Link {
    std::shared_ptr<Peer> peer;
  };

  IoThread thread_;
  const ConnectOptions options_;
  const std::string endpoint_;
  const std::shared_ptr<Host> host_;
  const std::shared_ptr<Link> peer_;
  std::shared_ptr<CallTable> calls_;
};

class InprocTransport : public Transport {
 public:
  std::unique_ptr<Connection> connect(const std::string& endpoint, const ConnectOptions& options) override {
    std::shared_ptr<Host> host;
    {
      const auto name = parse_name(endpoint);
      const std::lock_guard lock(names_->mutex);
      if (const auto found = names_->hosts.find(name); found != names_->hosts.end()) host = found->second;
    }
    if (!host) throw InprocConnection::nobody(endpoint);
    return detail::within_room("connection to '" + endpoint + "'",
                               [&] { return std::make_unique<InprocConnection>(std::move(host), endpoint, options); });
  }
  std::unique_ptr<Listener> listen(const std::string& endpoint, Handler handler,
                                   const ListenOptions& options) override {
    const auto name = parse_name(endpoint);
    return detail::within_room("listener on '" + endpoint + "'", [&] {
      return std::make_unique<InprocListener>(names_, name, std::move(handler), options);
    });
  }

 private:
  const std::shared_ptr<Names> names_ = std::make_shared<Names>();
};

}  // namespace

std::shared_ptr<Transport> make_inproc_transport() {
  return std::make_shared<InprocTransport>();
}

}  // namespace splitnet
