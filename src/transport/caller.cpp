// SPDX-License-Identifier: Apache-2.0
#include "caller.hpp"

#include <algorithm>
#include <utility>

#include "back_off.hpp"
#include "call_table.hpp"
#include "dial_and_wait.hpp"
#include "io_thread.hpp"
#include "splitnet/access.hpp"
#include "within_room.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// Everything of a connection that pending work may still refer to.
class Caller : public ChannelOwner, public std::enable_shared_from_this<Caller> {
 public:
  Caller(std::shared_ptr<asio::io_context> context, const MakeDialer& make_dialer, const std::string& endpoint,
         const ConnectOptions& options)
      : context_(std::move(context)),
        options_(options),
        endpoint_(endpoint),
        dialer_(make_dialer(context_)),
        back_off_(options.reconnect),
        pause_(*context_) {}

  /// Before anything else; throws.
  void connect();
  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done);
  [[nodiscard]] Storage allocate(std::size_t bytes) const {
    const auto open = channel();
    return open ? open->allocate(bytes) : Storage::allocate(bytes);
  }
  void close();

  void on_open() override {}
  void on_message(Message message) override;
  void on_bad_message(const MessageHeader& header, const Error& error) override {
    calls_->finish_here(header.id, error);
  }
  void on_bad_stream(const Error& error) override { lose(error); }
  void on_closed(const Error& reason) override;

 private:
  using Outcome = std::variant<std::shared_ptr<Channel>, Error>;
  void dial(std::function<void(const Error*)> done);
  void take_up(std::shared_ptr<Channel> channel);
  void lose(const Error& reason);
  void connect_again_after(const Error& reason);
  std::shared_ptr<Channel> channel() const {
    const std::lock_guard lock(mutex_);
    return channel_;
  }
  bool is_closed() const {
    const std::lock_guard lock(mutex_);
    return closed_;
  }
  void send(std::uint64_t id, EncodedMessage message);
  void send_cancel(std::uint64_t id) const;
  [[nodiscard]] std::string name() const { return "connection to '" + endpoint_ + "'"; }

  const std::shared_ptr<asio::io_context> context_;
  const ConnectOptions options_;
  const std::string endpoint_;
  const std::shared_ptr<Dialer> dialer_;
  std::shared_ptr<CallTable> calls_;

  // The context's thread only.
  BackOff back_off_;
  asio::steady_timer pause_;

  mutable std::mutex mutex_;
  std::shared_ptr<Channel> channel_;  // None: lost, or not there yet.
  bool closed_ = false;
};

// ---- connecting --------------------------------------------------------------------------------

void Caller::connect() {
  if (!options_.token.empty()) check_token(options_.token);
  calls_ = std::make_shared<CallTable>(context_, options_.max_calls_in_flight, [weak = weak_from_this()](auto id) {
    if (const auto self = weak.lock()) self->send_cancel(id);
  });
  try {
    dial_and_wait(*context_, [this](std::function<void(const Error*)> done) { dial(std::move(done)); });
  } catch (const Error&) {
    close();
    throw;
  }
}

void Caller::dial(std::function<void(const Error*)> done) {
  const auto timeout = std::min<std::chrono::nanoseconds>(options_.connect_timeout, std::chrono::hours(24));
  dialer_->dial(Clock::now() + timeout, [self = shared_from_this(), done = std::move(done)](Outcome outcome) {
    const auto* const error = std::get_if<Error>(&outcome);
    if (error == nullptr) self->take_up(std::move(std::get<std::shared_ptr<Channel>>(outcome)));
    done(error);
  });
}

void Caller::take_up(std::shared_ptr<Channel> channel) {
  channel->start(shared_from_this());
  channel->established(options_.limits);
  if (!options_.token.empty()) {
    Message hello;
    hello.kind = MessageKind::hello;
    hello.values.emplace_back(options_.token);
    channel->send(encode(hello));
  }
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    closed = closed_;
    if (!closed) channel_ = channel;
  }
  if (closed) channel->close(Error(ErrorCode::unavailable, name() + ": closed"));
}

/// The context's thread.
void Caller::lose(const Error& reason) {
  if (const auto open = channel()) open->close(reason);
}

void Caller::on_closed(const Error& reason) {
  {
    const std::lock_guard lock(mutex_);
    channel_ = nullptr;
  }
  connect_again_after(reason);
}

void Caller::connect_again_after(const Error& reason) {
  if (is_closed()) return;
  const bool may_pass = reason.code() != ErrorCode::unauthenticated && reason.code() != ErrorCode::incompatible;
  if (!options_.reconnect.enabled || !may_pass) return calls_->close(reason);
  calls_->suspend(reason);
  pause_.expires_after(back_off_.next());
  pause_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (aborted) return;
    self->dial([self](const Error* error) {
      if (error != nullptr) return self->connect_again_after(*error);
      self->calls_->resume();
    });
  });
}

void Caller::close() {
  std::shared_ptr<Channel> channel;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    channel = std::exchange(channel_, nullptr);
  }
  const Error reason(ErrorCode::unavailable, name() + ": closed");
  calls_->close(reason);
  if (channel) channel->close(reason);
  asio::post(*context_, [self = shared_from_this()] {
    self->pause_.cancel();
    self->dialer_->cancel();
  });
}

// ---- calling -----------------------------------------------------------------------------------

void Caller::call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
  calls_->call(std::move(request), deadline, stop, std::move(done), [this](const Message& sent) {
    send(sent.id, encode(sent, options_.payload_checksum.value_or(true), options_.limits));
  });
}

void Caller::send(std::uint64_t id, EncodedMessage message) {
  const auto bytes = message.size_bytes;
  const auto open = channel();
  switch (open ? open->send(std::move(message)) : Channel::Sent::closed) {
    case Channel::Sent::yes: return;
    case Channel::Sent::queue_full:
      return calls_->finish_later(
          id, Error(ErrorCode::overloaded, "call to '" + endpoint_ + "': " + std::to_string(bytes) +
                                               " bytes would exceed the " + std::to_string(options_.max_queued_bytes) +
                                               " that may wait"));
    case Channel::Sent::closed: return;  // Its `on_closed`, which knows the reason, ends this call too.
  }
}

void Caller::send_cancel(std::uint64_t id) const {
  const auto open = channel();
  if (!open) return;
  Message cancel;
  cancel.kind = MessageKind::cancel;
  cancel.id = id;
  open->send(encode(cancel));  // A full queue loses it: the peer has the deadline as well.
}

void Caller::on_message(Message message) {
  back_off_.reset();  // Not when the road opens: a peer may take connections and drop them.
  if (message.kind == MessageKind::error && message.id == 0) {
    return lose(Error(message.error, "'" + endpoint_ + "' closed the connection: " + message.error_message));
  }
  if (message.kind != MessageKind::reply && message.kind != MessageKind::error) {
    return lose(Error(ErrorCode::corrupt, "'" + endpoint_ + "' sent a request instead of a reply"));
  }
  const auto id = message.id;
  calls_->finish_here(id, std::move(message));
}

// ---- the face ----------------------------------------------------------------------------------

class CallerConnection : public Connection {
 public:
  CallerConnection(const MakeDialer& make_dialer, const std::string& endpoint, const ConnectOptions& options)
      : caller_(std::make_shared<Caller>(thread_.context(), make_dialer, endpoint, options)) {
    caller_->connect();
  }
  ~CallerConnection() override { caller_->close(); }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    const auto caller = caller_;  // The completion may destroy this connection before `call` has returned.
    caller->call(std::move(request), deadline, stop, std::move(done));
  }
  [[nodiscard]] Storage allocate(std::size_t bytes) override { return caller_->allocate(bytes); }
  void close() override { caller_->close(); }

 private:
  // Order matters: the thread ends last, when the completions of `close` have run.
  IoThread thread_;
  const std::shared_ptr<Caller> caller_;
};

}  // namespace

std::unique_ptr<Connection> connect_by(const MakeDialer& make_dialer, const std::string& endpoint,
                                       const ConnectOptions& options) {
  return within_room("connection to '" + endpoint + "'",
                     [&] { return std::make_unique<CallerConnection>(make_dialer, endpoint, options); });
}

}  // namespace splitnet::detail
