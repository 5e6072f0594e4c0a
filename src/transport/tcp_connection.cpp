// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "call_table.hpp"
#include "io_thread.hpp"
#include "tcp_channel.hpp"
#include "tcp_endpoint.hpp"
#include "tcp_parts.hpp"

namespace splitnet::detail {
namespace {

using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

int poll_milliseconds(Clock::duration left) {
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<std::int64_t>(rounded, 0, 1 << 30));
}

// 0 or an errno; ETIMEDOUT when `until` has passed.
int connect_socket(tcp::socket& socket, const tcp::endpoint& address, Clock::time_point until) {
  const int descriptor = socket.native_handle();
  if (::connect(descriptor, address.data(), static_cast<socklen_t>(address.size())) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting{descriptor, POLLOUT, 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, poll_milliseconds(until - Clock::now()));
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) return ETIMEDOUT;
  int failure = 0;
  socklen_t size = sizeof failure;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &size) != 0) return errno;
  return failure;
}

tcp::socket open_socket(asio::io_context& context, const TcpEndpoint& endpoint, std::chrono::nanoseconds timeout) {
  const auto until = Clock::now() + std::min<std::chrono::nanoseconds>(timeout, std::chrono::hours(24));
  int failure = 0;
  for (const auto& address : resolve(endpoint)) {
    tcp::socket socket(context);
    boost::system::error_code error;
    socket.open(address.protocol(), error);
    if (!error) socket.non_blocking(true, error);
    if (error) {
      failure = error.value();
      continue;
    }
    failure = connect_socket(socket, address, until);
    if (failure != 0) continue;
    socket.set_option(tcp::no_delay(true), error);
    socket.set_option(asio::socket_base::keep_alive(true), error);
    // The kernel may connect a socket to itself when nobody listens on a port of the ephemeral range.
    if (socket.local_endpoint(error) == socket.remote_endpoint(error)) failure = ECONNREFUSED;
    if (failure == 0) return socket;
  }
  const bool late = failure == ETIMEDOUT && Clock::now() >= until;
  throw Error(late ? ErrorCode::deadline_exceeded : ErrorCode::unavailable,
              "connect to '" + endpoint.text + "': " + std::strerror(failure));  // NOLINT(concurrency-mt-unsafe)
}

/// Everything of a connection that pending work may still refer to.
class Caller : public ChannelOwner, public std::enable_shared_from_this<Caller> {
 public:
  Caller(const std::shared_ptr<asio::io_context>& context, tcp::socket socket, const std::string& endpoint,
         const ConnectOptions& options, std::shared_ptr<BufferPool> pool)
      : options_(options),
        endpoint_(endpoint),
        channel_(std::make_shared<TcpChannel>(context, std::move(socket), std::move(pool),
                                              ChannelOptions{options.limits, options.max_queued_bytes, {}}, endpoint)),
        calls_(std::make_shared<CallTable>(
            context, options.max_calls_in_flight,
            [channel = std::weak_ptr(channel_)](std::uint64_t id) { send_cancel(channel, id); })) {}

  void start() { channel_->start(shared_from_this()); }

  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
    const auto id = calls_->begin(deadline, stop, std::move(done));
    if (id == 0) return;
    request.id = id;
    request.time_left.reset();
    if (deadline) request.time_left = *deadline - Clock::now();
    try {
      send(id, encode(request, options_.payload_checksum, options_.limits));
    } catch (const Error& error) {
      calls_->finish_later(id, error);
    } catch (const std::exception& error) {
      calls_->finish_later(id, Error(ErrorCode::internal, std::string("call: ") + error.what()));
    }
    calls_->watch(id, stop);
  }

  void close(const Error& reason) {
    calls_->close(reason);
    channel_->close(reason);
  }
  void close() { close(Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': closed")); }

  void on_message(Message message) override {
    if (message.kind == MessageKind::error && message.id == 0) {
      return close(Error(message.error, "'" + endpoint_ + "' closed the connection: " + message.error_message));
    }
    if (message.kind != MessageKind::reply && message.kind != MessageKind::error) {
      return close(Error(ErrorCode::corrupt, "'" + endpoint_ + "' sent a request instead of a reply"));
    }
    const auto id = message.id;
    calls_->finish_here(id, std::move(message));
  }
  void on_bad_message(const MessageHeader& header, const Error& error) override {
    calls_->finish_here(header.id, error);
  }
  void on_bad_stream(const Error& error) override { close(error); }
  void on_closed(const Error& reason) override { calls_->close(reason); }

 private:
  void send(std::uint64_t id, EncodedMessage message) {
    const auto bytes = message.size_bytes;
    switch (channel_->send(std::move(message))) {
      case TcpChannel::Sent::yes: return;
      case TcpChannel::Sent::queue_full:
        return calls_->finish_later(
            id, Error(ErrorCode::overloaded, "call to '" + endpoint_ + "': " + std::to_string(bytes) +
                                                 " bytes would exceed the " +
                                                 std::to_string(options_.max_queued_bytes) + " that may wait"));
      case TcpChannel::Sent::closed:
        return calls_->finish_later(id, Error(ErrorCode::unavailable, "connection to '" + endpoint_ + "': closed"));
    }
  }

  static void send_cancel(const std::weak_ptr<TcpChannel>& channel, std::uint64_t id) {
    const auto open = channel.lock();
    if (!open) return;
    Message cancel;
    cancel.kind = MessageKind::cancel;
    cancel.id = id;
    open->send(encode(cancel));  // A full queue loses it: the peer has the deadline as well.
  }

  const ConnectOptions options_;
  const std::string endpoint_;
  const std::shared_ptr<TcpChannel> channel_;
  const std::shared_ptr<CallTable> calls_;
};

class TcpConnection : public Connection {
 public:
  TcpConnection(const TcpEndpoint& endpoint, const ConnectOptions& options, std::shared_ptr<BufferPool> pool)
      : caller_(std::make_shared<Caller>(thread_.context(),
                                         open_socket(*thread_.context(), endpoint, options.connect_timeout),
                                         endpoint.text, options, std::move(pool))) {
    caller_->start();
  }
  ~TcpConnection() override { caller_->close(); }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    caller_->call(std::move(request), deadline, stop, std::move(done));
  }
  void close() override { caller_->close(); }

 private:
  // Order matters: the thread ends last, when the completions of `close` have run.
  IoThread thread_;
  const std::shared_ptr<Caller> caller_;
};

}  // namespace

std::unique_ptr<Connection> tcp_connect(const std::string& endpoint, const ConnectOptions& options,
                                        std::shared_ptr<BufferPool> pool) {
  return std::make_unique<TcpConnection>(parse_tcp_endpoint(endpoint), options, std::move(pool));
}

}  // namespace splitnet::detail
