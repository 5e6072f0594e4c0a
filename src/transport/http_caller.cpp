// SPDX-License-Identifier: Apache-2.0
#include "http_caller.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <unordered_set>
#include <utility>
#include <vector>

#include "back_off.hpp"
#include "call_table.hpp"
#include "dial_and_wait.hpp"
#include "http_line.hpp"
#include "io_thread.hpp"
#include "queued_bytes.hpp"
#include "splitnet/access.hpp"
#include "splitnet/trace.hpp"
#include "within_room.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;
using LinePtr = std::shared_ptr<HttpLine>;

std::string request_head(const HttpEndpoint& endpoint, const std::string& token) {
  std::string head = "POST " + endpoint.path + " HTTP/1.1\r\nHost: " + endpoint.host +
                     "\r\nContent-Type: application/octet-stream\r\nAccept: application/octet-stream\r\n";
  if (!token.empty()) head += "Authorization: Bearer " + token + "\r\n";
  return head + "Content-Length: ";
}

/// For proxies on the way; whoever answers has it in the message. Only what is well-formed: nothing else may write
/// heads.
std::string trace_fields(const TraceContext& trace) {
  if (!parse_traceparent(trace.traceparent)) return {};
  std::string fields = "traceparent: " + trace.traceparent + "\r\n";
  if (!trace.tracestate.empty() && is_tracestate(trace.tracestate)) {
    fields += "tracestate: " + trace.tracestate + "\r\n";
  }
  return fields;
}

/// The name is looked up once as long as somebody is there: a lookup blocks the thread of all sockets.
StreamRoad remember_addresses(StreamRoad road, std::shared_ptr<std::vector<StreamEndpoint>> known) {
  road.resolve = [look_up = std::move(road.resolve), known = std::move(known)] {
    if (known->empty()) *known = look_up();
    return *known;
  };
  return road;
}

/// Everything of a connection that pending work may still refer to. What is not said to be for any thread is for the
/// context's.
class HttpCaller : public HttpLineOwner, public std::enable_shared_from_this<HttpCaller> {
 public:
  HttpCaller(std::shared_ptr<asio::io_context> context, StreamRoad road, const HttpEndpoint& endpoint,
             const ConnectOptions& options, std::size_t max_sockets, std::shared_ptr<BufferPool> pool)
      : context_(std::move(context)),
        options_(options),
        max_sockets_(std::max<std::size_t>(1, max_sockets)),
        endpoint_(endpoint.tcp.text),
        road_(remember_addresses(std::move(road), addresses_)),
        line_options_(std::make_shared<HttpLine::Options>(
            HttpLine::Options{endpoint_, request_head(endpoint, options.token), options.limits, std::move(pool)})),
        queued_(endpoint_, options.max_queued_bytes),
        back_off_(options.reconnect),
        pause_(*context_) {}

  /// Any thread, before anything else; throws.
  void connect();
  /// Any thread.
  void call(Message request, Deadline deadline, const std::stop_token& stop, Completion done);
  /// Any thread.
  void close();

  void on_answer(const LinePtr& line, std::uint64_t id, CallResult result, bool refuses_us) override;
  void on_lost(const LinePtr& line, std::optional<HttpCall> call, const Error& error) override;

 private:
  void enqueue(HttpCall call);
  void pump();
  bool start_next();
  void assign(const LinePtr& line);
  void drop(std::uint64_t id);
  void dial(std::function<void(const Error*)> done);
  void on_dial_failed(const Error& error);
  void use_what_is_left(const Error& error);
  void take_up(std::unique_ptr<ByteStream> stream);
  void connect_again_after(const Error& reason);
  void forget(const LinePtr& line);
  void end(const Error& reason);

  const std::shared_ptr<asio::io_context> context_;
  const ConnectOptions options_;
  const std::size_t max_sockets_;
  const std::string endpoint_;
  const std::shared_ptr<std::vector<StreamEndpoint>> addresses_ = std::make_shared<std::vector<StreamEndpoint>>();
  const StreamRoad road_;
  const std::shared_ptr<const HttpLine::Options> line_options_;
  std::shared_ptr<CallTable> calls_;
  QueuedBytes queued_;
  std::atomic<bool> closed_{false};

  std::deque<HttpCall> queue_;
  std::unordered_set<LinePtr> lines_;
  std::vector<LinePtr> idle_;  // The last one is the youngest, and the least likely to have been closed.
  std::unordered_set<std::shared_ptr<StreamOpener>> openers_;
  BackOff back_off_;
  asio::steady_timer pause_;
};

// ---- connecting --------------------------------------------------------------------------------

void HttpCaller::connect() {
  if (!options_.token.empty()) check_token(options_.token);
  calls_ = std::make_shared<CallTable>(context_, options_.max_calls_in_flight, [weak = weak_from_this()](auto id) {
    const auto self = weak.lock();
    if (!self) return;
    asio::post(*self->context_, [self, id] { self->drop(id); });
  });
  try {
    dial_and_wait(*context_, [this](std::function<void(const Error*)> done) { dial(std::move(done)); });
  } catch (const Error&) {
    close();
    throw;
  }
}

void HttpCaller::dial(std::function<void(const Error*)> done) {
  const auto timeout = std::min<std::chrono::nanoseconds>(options_.connect_timeout, std::chrono::hours(24));
  const auto opener = std::make_shared<StreamOpener>(context_, road_);
  openers_.insert(opener);
  opener->open(Clock::now() + timeout,
               [self = shared_from_this(), key = opener.get(), done = std::move(done)](StreamOpener::Outcome outcome) {
                 std::erase_if(self->openers_, [key](const auto& other) { return other.get() == key; });
                 const auto* const error = std::get_if<Error>(&outcome);
                 if (error == nullptr) self->take_up(std::move(std::get<std::unique_ptr<ByteStream>>(outcome)));
                 done(error);
               });
}

void HttpCaller::take_up(std::unique_ptr<ByteStream> stream) {
  if (closed_) return;
  const auto line = std::make_shared<HttpLine>(line_options_, *context_, std::move(stream), weak_from_this());
  lines_.insert(line);
  line->start();
  assign(line);
}

void HttpCaller::on_dial_failed(const Error& error) {
  if (closed_) return;
  if (!lines_.empty() || !openers_.empty()) return use_what_is_left(error);
  queue_.clear();
  addresses_->clear();
  // Late is the connection, not the call.
  const bool is_late = error.code() == ErrorCode::deadline_exceeded;
  connect_again_after(is_late ? Error(ErrorCode::unavailable, error.what()) : error);
}

/// The other sockets go on with what waits, but for what needs a new one.
void HttpCaller::use_what_is_left(const Error& error) {
  for (const auto& call : queue_) {
    if (call.is_second) calls_->finish_later(call.id, Error(ErrorCode::unavailable, error.what()));
  }
  std::erase_if(queue_, [](const HttpCall& call) { return call.is_second; });
  while (!queue_.empty() && !idle_.empty()) {
    const auto line = std::move(idle_.back());
    idle_.pop_back();
    assign(line);
  }
}

void HttpCaller::connect_again_after(const Error& reason) {
  const bool may_pass = reason.code() != ErrorCode::unauthenticated && reason.code() != ErrorCode::incompatible;
  if (!options_.reconnect.enabled || !may_pass) return calls_->close(reason);
  calls_->suspend(reason);
  pause_.expires_after(back_off_.next());
  pause_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (aborted || self->closed_) return;
    self->dial([self](const Error* error) {
      if (error != nullptr) return self->on_dial_failed(*error);
      self->calls_->resume();
    });
  });
}

void HttpCaller::forget(const LinePtr& line) {
  lines_.erase(line);
  std::erase(idle_, line);
}

/// Nobody is called any more.
void HttpCaller::end(const Error& reason) {
  calls_->close(reason);
  queue_.clear();
  idle_.clear();
  for (const auto& line : std::exchange(lines_, {})) line->close();
}

void HttpCaller::close() {
  if (closed_.exchange(true)) return;
  const Error reason(ErrorCode::unavailable, "connection to '" + endpoint_ + "': closed");
  calls_->close(reason);
  asio::post(*context_, [self = shared_from_this(), reason] {
    self->end(reason);
    self->pause_.cancel();
    for (const auto& opener : std::exchange(self->openers_, {})) opener->cancel();
  });
}

// ---- calling -----------------------------------------------------------------------------------

void HttpCaller::call(Message request, Deadline deadline, const std::stop_token& stop, Completion done) {
  calls_->call(std::move(request), deadline, stop, std::move(done), [this](const Message& sent) {
    HttpCall call{
        sent.id, encode(sent, options_.payload_checksum.value_or(true), options_.limits), trace_fields(sent.trace), {}};
    call.queued = queued_.count(call.message.size_bytes);
    asio::post(*context_,
               [self = shared_from_this(), call = std::move(call)]() mutable { self->enqueue(std::move(call)); });
  });
}

void HttpCaller::enqueue(HttpCall call) {
  queue_.push_back(std::move(call));
  pump();
}

void HttpCaller::pump() {
  while (!queue_.empty() && start_next()) {
  }
}

/// False: what waits has to wait on.
bool HttpCaller::start_next() {
  if (!calls_->is_waiting(queue_.front().id)) {  // Its end overtook it.
    queue_.pop_front();
    return true;
  }
  // A second attempt goes to a new socket: the idle ones may all have been closed with the first.
  const bool needs_new = queue_.front().is_second;
  if (!idle_.empty() && !needs_new) {
    const auto line = std::move(idle_.back());
    idle_.pop_back();
    assign(line);
    return true;
  }
  if (openers_.size() >= queue_.size()) return false;
  if (lines_.size() + openers_.size() >= max_sockets_) {
    if (idle_.empty()) return false;
    const auto oldest = idle_.front();
    forget(oldest);
    oldest->close();
  }
  dial([self = shared_from_this()](const Error* error) {
    if (error != nullptr) self->on_dial_failed(*error);
  });
  return true;
}

/// Gives the line the next call, or rest.
void HttpCaller::assign(const LinePtr& line) {
  while (!queue_.empty() && !calls_->is_waiting(queue_.front().id)) queue_.pop_front();
  if (queue_.empty()) {
    line->note_idle();
    idle_.push_back(line);
    return;
  }
  auto call = std::move(queue_.front());
  queue_.pop_front();
  line->send(std::move(call));
}

/// Nobody waits for its answer any more. The peer learns it from the end of the socket.
void HttpCaller::drop(std::uint64_t id) {
  std::erase_if(queue_, [id](const HttpCall& call) { return call.id == id; });
  const auto found =
      std::find_if(lines_.begin(), lines_.end(), [id](const LinePtr& line) { return line->call_id() == id; });
  if (found == lines_.end()) return;
  const auto line = *found;
  forget(line);
  line->close();
  pump();
}

void HttpCaller::on_answer(const LinePtr& line, std::uint64_t id, CallResult result, bool refuses_us) {
  back_off_.reset();  // Not when a socket opens: a peer may take connections and drop them.
  if (refuses_us) {
    calls_->finish_here(id, result);
    return end(Error(ErrorCode::unauthenticated, "'" + endpoint_ + "' refused the token"));
  }
  if (line->is_open() && !closed_) {
    assign(line);
  } else {
    forget(line);
    line->close();
  }
  pump();
  calls_->finish_here(id, std::move(result));  // Last: it may call again, or destroy the connection.
}

void HttpCaller::on_lost(const LinePtr& line, std::optional<HttpCall> call, const Error& error) {
  forget(line);
  if (closed_) return;
  if (error.code() == ErrorCode::unauthenticated || error.code() == ErrorCode::incompatible) return end(error);
  if (call) {
    // A peer may close an idle socket at any moment, also while a request is on its way. RFC 9112, section 9.3.1: a
    // client may send it again by itself when it knows that doing so twice is harmless. Requests are pure inferences.
    if (line->may_repeat() && !call->is_second) {
      call->is_second = true;
      queue_.push_front(*std::move(call));
    } else {
      const auto id = call->id;
      call.reset();
      pump();
      return calls_->finish_here(id, error);
    }
  }
  pump();
}

// ---- the face ----------------------------------------------------------------------------------

class HttpConnection : public Connection {
 public:
  explicit HttpConnection(StreamRoad road, const HttpEndpoint& endpoint, const ConnectOptions& options,
                          std::size_t max_sockets, std::shared_ptr<BufferPool> pool)
      : caller_(std::make_shared<HttpCaller>(thread_.context(), std::move(road), endpoint, options, max_sockets,
                                             std::move(pool))) {
    caller_->connect();
  }
  ~HttpConnection() override { caller_->close(); }

  void call(Message request, Deadline deadline, std::stop_token stop, Completion done) override {
    const auto caller = caller_;  // The completion may destroy this connection before `call` has returned.
    caller->call(std::move(request), deadline, stop, std::move(done));
  }
  void close() override { caller_->close(); }

 private:
  // Order matters: the thread ends last, when the completions of `close` have run.
  IoThread thread_;
  const std::shared_ptr<HttpCaller> caller_;
};

}  // namespace

std::unique_ptr<Connection> connect_http(StreamRoad road, const HttpEndpoint& endpoint, const ConnectOptions& options,
                                         std::size_t max_sockets, std::shared_ptr<BufferPool> pool) {
  return within_room("connection to '" + endpoint.tcp.text + "'", [&] {
    return std::make_unique<HttpConnection>(std::move(road), endpoint, options, max_sockets, std::move(pool));
  });
}

}  // namespace splitnet::detail
