// SPDX-License-Identifier: Apache-2.0
#include "http_peer.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "http_status.hpp"
#include "http_target.hpp"
#include "text.hpp"

namespace splitnet::detail {
namespace {

// Then other sockets of the thread have their turn.
constexpr int kTurnsInARow = 16;
// For the last word to arrive.
constexpr auto kDrainTime = std::chrono::seconds(1);
constexpr auto kTurnAwayTime = std::chrono::seconds(1);
constexpr std::size_t kRubbishBytes = 16 * 1024;

Error too_late(const char* what) {
  return Error(ErrorCode::deadline_exceeded, std::string("http: ") + what + " not complete within the time-out");
}

}  // namespace

HttpPeer::HttpPeer(std::shared_ptr<HttpService> service, AcceptedStream accepted, Gone gone,
                   std::optional<Error> refusal)
    : service_(std::move(service)),
      context_(std::move(accepted.context)),
      work_(context_->get_executor()),
      stream_(std::move(accepted.stream)),
      address_(std::move(accepted.address)),
      gone_(std::move(gone)),
      refusal_(std::move(refusal)),
      reader_(HttpReader::Reads::requests, service_->pool, service_->by->budget),
      sender_(*stream_),
      timer_(*context_) {}

void HttpPeer::start() {
  if (!refusal_) host_ = service_->hosts.find(address_.host);
  calls_ = std::make_shared<ServedCalls>([weak = weak_from_this()](Message reply) {
    auto self = weak.lock();
    if (!self) return;
    auto& context = *self->context_;
    asio::post(context, [self = std::move(self), reply = std::move(reply)] { self->respond(reply); });
  });
  asio::post(*context_, [self = shared_from_this()] { self->open(); });
}

void HttpPeer::open() {
  if (closed_) return;
  set_timer(refusal_ ? kTurnAwayTime : service_->by->options.handshake_timeout);
  stream_->async_handshake([self = shared_from_this()](const boost::system::error_code& error) {
    if (self->closed_) return;
    if (error) return self->on_bad_handshake(error);
    self->state_ = State::head;
    self->read();
  });
}

/// Not worth a word when the peer just went away.
void HttpPeer::on_bad_handshake(const boost::system::error_code& error) {
  const Error reason = stream_->explain(error, address_.text);
  if (reason.code() != ErrorCode::unavailable && !refusal_) service_->by->refusals.note(address_.text, reason);
  end();
}

// ---- reading -----------------------------------------------------------------------------------

void HttpPeer::read() {
  if (closed_ || reading_ || has_ended_) return;
  const bool is_aside = state_ != State::head && state_ != State::body;
  std::span<std::byte> space = is_aside ? std::span<std::byte>(aside_) : reader_.space();
  if (discards_) {
    static thread_local std::array<std::byte, kRubbishBytes> rubbish;
    space = rubbish;
  } else if (is_aside && reader_.room() < aside_.size()) {
    return;  // It sends one request after the other without waiting: the kernel holds it up.
  }
  reading_ = true;
  stream_->async_read(space,
                      [self = shared_from_this(), is_aside](const boost::system::error_code& error, std::size_t bytes) {
                        self->reading_ = false;
                        self->on_read(error, bytes, is_aside);
                      });
}

void HttpPeer::on_read(const boost::system::error_code& error, std::size_t bytes, bool is_aside) {
  if (closed_) return;
  // Half a stream that ends while the last word is on its way is no reason not to say it.
  has_ended_ = error == asio::error::eof;
  if (error && !(has_ended_ && is_last_ && state_ == State::answering)) {
    return end();
  }
  if (discards_) return read();
  try {
    is_aside ? reader_.put(std::span(aside_).first(bytes)) : reader_.filled(bytes);
  } catch (const Error& refused) {
    return refuse(refused);
  }
  process();
}

void HttpPeer::process() {
  processing_ = true;
  try {
    for (int turns = kTurnsInARow; process_once(turns);) {
    }
  } catch (const Error& error) {
    refuse(error);
  }
  processing_ = false;
  if (closed_) return;
  watch_time();
  read();
}

/// False: nothing more to do with what has come.
bool HttpPeer::process_once(int& turns) {
  if (closed_ || discards_) return false;
  if (state_ == State::head) {
    if (reader_.has_bytes() && !message_since_) message_since_ = Clock::now();
    const auto head = reader_.next_head();
    if (head) on_head(*head);
    return head.has_value();
  }
  if (state_ != State::body) return false;
  auto frame = reader_.next_body(service_->by->options.limits);
  if (frame) {
    on_message(*std::move(frame));
    return true;
  }
  invite();
  return turns-- > 0 && read_more();
}

bool HttpPeer::read_more() {
  if (reading_ || closed_ || !reader_.fills_body()) return false;
  const auto bytes = stream_->read_more(reader_.space());
  reader_.filled(bytes);
  return bytes > 0;
}

void HttpPeer::on_head(const HttpHead& head) {
  is_old_ = head.is_old;
  is_last_ = !head.keeps_alive;
  is_invited_ = !head.expects_continue || head.is_old;
  trace_ = head.trace;
  if (refusal_) return fail(status_of(refusal_->code()), *refusal_);
  if (head.method != "POST") return say_usage(head.method == "HEAD");
  if (const auto refused = refuse_token(head)) {
    service_->by->refusals.note(address_.text, *refused);
    return fail(401, *refused);
  }
  if (path_of(head.target) != service_->path) {
    return fail(404, Error(ErrorCode::invalid_argument, "http: nobody is at '" + std::string(path_of(head.target)) +
                                                            "'; requests go to '" + service_->path + "'"));
  }
  if (!head.is_chunked && !head.length) {
    return fail(411, Error(ErrorCode::invalid_argument, "http: a request needs Content-Length, or chunks"));
  }
  clear_timer();
  auto offer = [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || self->closed_) return false;
    auto& context = *self->context_;
    asio::post(context, [self = std::move(self)] {
      self->has_place_ = true;
      if (self->closed_) return self->leave();
      self->message_since_ = Clock::now();
      self->state_ = State::body;
      self->process();
    });
    return true;
  };
  if (!host_->enter(weak_from_this(), std::move(offer))) {
    state_ = State::waiting;
    return;
  }
  has_place_ = true;
  state_ = State::body;
}

/// A connection may carry requests of many clients, those of a proxy: every one of them shows its token.
std::optional<Error> HttpPeer::refuse_token(const HttpHead& head) const {
  auto& admission = service_->by->admission;
  if (!admission.needs_token()) return std::nullopt;
  constexpr std::string_view scheme = "bearer ";
  if (head.authorization.size() <= scheme.size() ||
      in_lower_case(head.authorization).substr(0, scheme.size()) != scheme) {
    return Error(ErrorCode::unauthenticated, "listener: a token is needed (Authorization: Bearer), and none was shown");
  }
  return admission.refuse_token(address_.host, head.authorization.substr(scheme.size()));
}

/// "100 Continue", once nothing that the head says is wrong.
void HttpPeer::invite() {
  if (std::exchange(is_invited_, true)) return;
  static constexpr std::string_view word = "HTTP/1.1 100 Continue\r\n\r\n";
  const iovec vector{const_cast<char*>(word.data()), word.size()};
  // Nothing else is under way to this peer, so it does not take these few bytes only if it does not read at all.
  if (stream_->write(&vector, 1).bytes != word.size()) {
    end();
  }
}

void HttpPeer::on_message(HttpReader::Frame frame) {
  clear_timer();
  message_since_.reset();
  const auto id = frame.header.id;
  const auto answer = [&](unsigned status, const Error& error) { send(status, encode_error(id, error)); };
  std::optional<Message> message;
  try {
    message = frame.decode(service_->by->options.limits);
  } catch (const Error& error) {
    return answer(status_of(error.code()), error);
  } catch (const std::bad_alloc&) {
    return answer(503, Error(ErrorCode::overloaded, "message: no memory to decode it"));
  }
  frame = {};  // The tensors alone decide how long the body lives.
  if (message->kind != MessageKind::request) {
    return answer(400, Error(ErrorCode::corrupt, "listener: got something else than a request"));
  }
  if (!host_->take_request()) {
    const Error error(ErrorCode::overloaded, "listener: too many requests a second; at most " +
                                                 std::to_string(service_->by->options.max_requests_per_s) +
                                                 " are taken");
    service_->by->refusals.note(address_.text, error);
    return answer(429, error);
  }
  // Something on the way began the trace.
  if (message->trace.traceparent.empty()) message->trace = std::move(trace_);
  serve(*std::move(message));
}

void HttpPeer::serve(Message message) {
  state_ = State::handling;
  calls_->serve(std::move(message), service_->by->handler, address_.text);
}

// ---- answering ---------------------------------------------------------------------------------

void HttpPeer::respond(const Message& reply) {
  if (closed_ || state_ != State::handling) return;
  unsigned status = 0;
  auto encoded = encode_reply(reply, status);
  send(status, std::move(encoded));
}

EncodedMessage HttpPeer::encode_reply(const Message& reply, unsigned& status) const {
  const auto& options = service_->by->options;
  const auto say = [&](const Error& error) {
    status = status_of(error.code());
    return encode_error(reply.id, error);
  };
  try {
    status = reply.kind == MessageKind::error ? status_of(reply.error) : 200;
    auto encoded = encode(reply, options.payload_checksum.value_or(true), options.limits);
    if (encoded.size_bytes <= options.max_queued_bytes) return encoded;
    return say(Error(ErrorCode::overloaded, "reply: " + std::to_string(encoded.size_bytes) +
                                                " bytes would exceed the " + std::to_string(options.max_queued_bytes) +
                                                " that may wait"));
  } catch (const Error& error) {
    return say(error);
  } catch (const std::exception& error) {
    return say(Error(ErrorCode::internal, std::string("reply: ") + error.what()));
  }
}

/// Says what is wrong with a request that is not read to its end, and closes.
void HttpPeer::fail(unsigned status, const Error& error) {
  is_last_ = discards_ = true;
  send(status, encode_error(0, error));
}

/// The stream can't be followed any further.
void HttpPeer::refuse(const Error& error) {
  if (closed_ || discards_) return end();
  const bool is_head = state_ == State::head && error.code() == ErrorCode::too_large;
  fail(is_head ? 431 : status_of(error.code()), error);
}

/// For people with a browser.
void HttpPeer::say_usage(bool without_body) {
  is_last_ = discards_ = true;
  const std::string text =
      "This is a splitnet listener. It takes POST with a splitnet message as its body (docs/wire_format.md); connect "
      "with splitnet::Session or splitnet::TransportRegistry.\n";
  send(
      "HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Type: text/plain\r\nConnection: close\r\n"
      "Content-Length: " +
          std::to_string(text.size()) + "\r\n\r\n" + (without_body ? "" : text),
      {});
}

void HttpPeer::send(unsigned status, EncodedMessage message) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " ";
  head += reason_of_status(status);
  head += "\r\nContent-Type: application/octet-stream\r\nContent-Length: " + std::to_string(message.size_bytes);
  if (status == 401) head += "\r\nWWW-Authenticate: Bearer";
  if (status == 429 || status == 503) head += "\r\nRetry-After: 1";
  if (is_last_) {
    head += "\r\nConnection: close";
  } else if (is_old_) {
    head += "\r\nConnection: keep-alive";
  }
  head += "\r\n\r\n";
  send(std::move(head), std::move(message));
}

void HttpPeer::send(std::string head, EncodedMessage message) {
  leave();
  state_ = State::answering;
  sent_before_ = 0;
  clear_timer();
  sender_.send(std::move(head), std::move(message), [self = shared_from_this()](int error) { self->on_sent(error); });
  if (sender_.is_sending()) set_timer(service_->by->options.message_timeout);
}

void HttpPeer::on_sent(int error) {
  if (closed_) return;
  clear_timer();
  if (error != 0 || has_ended_) {
    return end();
  }
  if (is_last_) {
    state_ = State::draining;
    discards_ = true;
    stream_->shutdown_write();
    set_timer(kDrainTime);
    return read();
  }
  state_ = State::head;
  if (!processing_) process();
}

// ---- time --------------------------------------------------------------------------------------

void HttpPeer::set_timer(std::chrono::nanoseconds time) {
  if (time.count() <= 0) return;
  const auto bounded = std::min<std::chrono::nanoseconds>(time, std::chrono::hours(24));
  due_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(bounded);
  timer_.expires_at(*due_);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->on_timer();
  });
}

void HttpPeer::clear_timer() {
  if (!due_) return;
  due_.reset();
  timer_.cancel();
}

/// For what has come in part.
void HttpPeer::watch_time() {
  if (due_ || !message_since_) return;
  const auto& options = service_->by->options;
  if (state_ == State::head) return set_timer(options.handshake_timeout);
  if (state_ != State::body || options.message_timeout.count() <= 0) return;
  const auto left = *message_since_ + options.message_timeout - Clock::now();
  set_timer(std::max<std::chrono::nanoseconds>(left, std::chrono::nanoseconds(1)));
}

void HttpPeer::on_timer() {
  // One that had fired before it was cleared.
  if (closed_ || !due_ || Clock::now() < *due_) return;
  due_.reset();
  switch (state_) {
    case State::head:
      // Who has said nothing is not answered: the answer could be taken for that of a request on its way.
      return reader_.has_bytes() ? fail(408, too_late("head")) : end();
    case State::body: return fail(408, too_late("message"));
    case State::answering:
      if (sender_.sent_bytes() == std::exchange(sent_before_, sender_.sent_bytes())) {
        return end();  // It does not read its replies.
      }
      return set_timer(service_->by->options.message_timeout);
    default: return end();
  }
}

// ---- ending ------------------------------------------------------------------------------------

void HttpPeer::leave() {
  if (std::exchange(has_place_, false)) host_->leave();
}

/// Behind the answers that other threads have handed over already: those still go.
void HttpPeer::close(const Error&) {
  asio::post(*context_, [self = shared_from_this()] { self->end(); });
}

void HttpPeer::end() {
  if (closed_.exchange(true)) return;
  stream_->shutdown();
  asio::post(*context_, [self = shared_from_this()] { self->finish(); });
}

void HttpPeer::finish() {
  stream_->cancel();
  timer_.cancel();
  sender_.stop();
  calls_->close();
  leave();
  gone_(this);
}

}  // namespace splitnet::detail
