// SPDX-License-Identifier: Apache-2.0
#include "http_line.hpp"

#include <cstring>
#include <new>
#include <utility>

#include "http_status.hpp"
#include "wrong_answer.hpp"

namespace splitnet::detail {
namespace {

constexpr int kTurnsInARow = 16;
// Nothing can be written; what the peer said before it closed may still be unread.
constexpr auto kLastWordsTime = std::chrono::seconds(1);

bool is_closing(const boost::system::error_code& error) {
  return error == asio::error::eof || error == asio::error::connection_reset || error == asio::error::broken_pipe ||
         error == asio::error::connection_aborted;
}

}  // namespace

HttpLine::HttpLine(std::shared_ptr<const Options> options, asio::io_context& context,
                   std::unique_ptr<ByteStream> stream, std::weak_ptr<HttpLineOwner> owner)
    : options_(std::move(options)),
      stream_(std::move(stream)),
      owner_(std::move(owner)),
      reader_(HttpReader::Reads::responses, options_->pool),
      sender_(*stream_),
      timer_(context) {}

void HttpLine::send(HttpCall call) {
  call_ = std::move(call);
  head_.reset();
  has_answered_ = false;
  std::string head =
      options_->request_head + std::to_string(call_->message.size_bytes) + "\r\n" + call_->fields + "\r\n";
  // A copy of handles, none of tensors: the call keeps its own for a second attempt.
  sender_.send(std::move(head), call_->message, [self = shared_from_this()](int error) { self->on_sent(error); });
}

void HttpLine::on_sent(int error) {
  if (closed_) return;
  if (error == 0) {
    if (call_) call_->queued.reset();
    return;
  }
  timer_.expires_after(kLastWordsTime);
  timer_.async_wait([self = shared_from_this(), error](const boost::system::error_code& aborted) {
    if (aborted) return;
    self->lose(Error(ErrorCode::unavailable, "connection with " + self->options_->endpoint + ": " +
                                                 std::strerror(error)));  // NOLINT(concurrency-mt-unsafe)
  });
}

// ---- reading -----------------------------------------------------------------------------------

void HttpLine::read() {
  if (closed_) return;
  stream_->async_read(reader_.space(), [self = shared_from_this()](const boost::system::error_code& error,
                                                                   std::size_t bytes) { self->on_read(error, bytes); });
}

void HttpLine::on_read(const boost::system::error_code& error, std::size_t bytes) {
  if (closed_) return;
  if (error) {
    was_closed_ = is_closing(error);
    if (call_ && head_ && head_->status >= 300) return answer_by_status();
    return lose(stream_->explain(error, options_->endpoint));
  }
  if (!call_) {
    return lose(Error(ErrorCode::corrupt, "'" + options_->endpoint + "' said something that nobody asked for"));
  }
  has_answered_ = true;
  try {
    reader_.filled(bytes);
    process();
  } catch (const Error& refused) {
    // What a proxy says in its own words is no message: its status says what it means.
    if (call_ && head_ && head_->status >= 300) return answer_by_status();
    return lose(Error(refused.code(), "'" + options_->endpoint + "' answered with " + refused.what()));
  }
  read();
}

void HttpLine::process() {
  for (int turns = kTurnsInARow;; --turns) {
    if (!head_) head_ = reader_.next_head();
    if (!head_) return;
    const bool has_body = head_->is_chunked || head_->length.value_or(1) > 0;
    if (!has_body) return answer_by_status();
    if (auto frame = reader_.next_body(options_->limits)) return answer(*std::move(frame));
    if (turns == 0 || !reader_.fills_body()) return;  // What has been read has been looked at.
    const auto bytes = stream_->read_more(reader_.space());
    reader_.filled(bytes);
    if (bytes == 0) return;
  }
}

// ---- answering ---------------------------------------------------------------------------------

void HttpLine::answer(HttpReader::Frame frame) {
  const bool may_go_on = head_->keeps_alive && !reader_.has_bytes();
  std::optional<Message> message;
  try {
    message = frame.decode(options_->limits);
  } catch (const Error& error) {
    return finish(Error(error.code(), error.what()), false, may_go_on);
  } catch (const std::bad_alloc&) {
    return finish(Error(ErrorCode::overloaded, "message: no memory to decode it"), false, may_go_on);
  }
  frame = {};
  if (auto wrong = wrong_answer(*message, call_->id, options_->endpoint))
    return finish(*std::move(wrong), false, false);
  const bool refuses_us = message->id != call_->id && message->error == ErrorCode::unauthenticated;
  finish(*std::move(message), refuses_us, may_go_on);
}

Error HttpLine::status_error() const {
  const unsigned status = head_->status;
  std::string text = "'" + options_->endpoint + "' answered with HTTP status " + std::to_string(status) +
                     " and no splitnet message: a proxy on the way, or another server";
  if (!head_->location.empty()) text += "; it says that to be found is '" + head_->location + "'";
  return Error(code_of_status(status), text);
}

void HttpLine::answer_by_status() {
  const bool refuses_us = head_->status == 401 || head_->status == 407;
  finish(status_error(), refuses_us, false);
}

void HttpLine::finish(CallResult result, bool refuses_us, bool may_go_on) {
  const auto id = call_->id;
  call_.reset();
  head_.reset();
  // An answer that came before the request had gone leaves the rest of the request on the road.
  if (!may_go_on || sender_.is_sending()) close();
  const auto self = shared_from_this();
  if (const auto owner = owner_.lock()) owner->on_answer(self, id, std::move(result), refuses_us);
}

void HttpLine::lose(const Error& error) {
  if (closed_) return;
  auto call = std::exchange(call_, std::nullopt);
  close();
  const auto self = shared_from_this();
  if (const auto owner = owner_.lock()) owner->on_lost(self, std::move(call), error);
}

void HttpLine::close() {
  if (std::exchange(closed_, true)) return;
  stream_->shutdown();
  stream_->cancel();
  sender_.stop();
  timer_.cancel();
}

}  // namespace splitnet::detail
