// SPDX-License-Identifier: Apache-2.0
#include "served_peer.hpp"

#include <algorithm>
#include <utility>

namespace splitnet::detail {
namespace {

const Error& no_token() {
  static const Error error(ErrorCode::unauthenticated, "listener: a token is needed, and none was shown");
  return error;
}

}  // namespace

ChannelOptions ServedBy::channel_options() const {
  ChannelOptions result{options.limits, options.max_queued_bytes, options.handshake_timeout, options.message_timeout,
                        budget};
  if (admission.needs_token()) {
    result.limits.max_message_bytes = std::min<std::size_t>(result.limits.max_message_bytes, 4096);
    result.limits.max_tensors = 0;
  }
  return result;
}

EncodedMessage encode_error(std::uint64_t id, const Error& error) {
  auto message = Message::make_error(error);
  message.id = id;
  return encode(message);
}

void ServedPeer::start() {
  calls_ = std::make_shared<ServedCalls>(
      [weak = weak_from_this()](Message reply) {
        if (auto self = weak.lock()) self->send(reply);
      },
      [weak = std::weak_ptr(channel_)](std::size_t bytes) {
        const auto open = weak.lock();
        return open ? open->allocate(bytes) : Storage::allocate(bytes);
      });
  channel_->start(shared_from_this());
}

void ServedPeer::on_open() {
  is_open_ = true;
  if (by_->admission.needs_token()) return;
  is_established_ = true;
  channel_->established(by_->options.limits);
}

void ServedPeer::on_bad_stream(const Error& error) {
  // A stranger's request may be larger than a token is: that is not what is wrong with it.
  const bool is_stranger = !is_established_ && error.code() == ErrorCode::too_large;
  const Error& said = is_stranger ? no_token() : error;
  if (!is_established_) by_->refusals.note(address_.text, said);
  channel_->close_after(encode_error(0, said), said);
}

void ServedPeer::on_message(Message message) {
  if (message.kind == MessageKind::hello) return on_hello(message);
  if (!is_established_) return on_bad_stream(no_token());
  switch (message.kind) {
    case MessageKind::request: return on_request(std::move(message));
    case MessageKind::cancel: return calls_->cancel(message.id);
    default: return on_bad_stream(Error(ErrorCode::corrupt, "listener: got a reply instead of a request"));
  }
}

/// A token that nobody asked for is not looked at.
void ServedPeer::on_hello(const Message& message) {
  if (is_established_) return;
  const auto* const token = message.values.size() == 1 ? message.values.front().get_if<std::string>() : nullptr;
  if (const auto refused = by_->admission.refuse_token(address_.host, token == nullptr ? "" : *token)) {
    return on_bad_stream(*refused);
  }
  is_established_ = true;
  channel_->established(by_->options.limits);
}

void ServedPeer::on_request(Message message) {
  if (requests_.take()) return calls_->serve(std::move(message), by_->handler, address_.text);
  const Error error(ErrorCode::overloaded, "listener: too many requests a second; at most " +
                                               std::to_string(by_->options.max_requests_per_s) + " are taken");
  by_->refusals.note(address_.text, error);
  channel_->send(encode_error(message.id, error));
}

void ServedPeer::on_bad_message(const MessageHeader& header, const Error& error) {
  // Damaged bytes say that nothing else of this peer can be trusted, and strangers are not argued with; other errors
  // are about one message.
  if (error.code() == ErrorCode::corrupt || !is_established_) {
    if (!is_established_) by_->refusals.note(address_.text, error);
    return channel_->close_after(encode_error(header.id, error), error);
  }
  if (header.kind == MessageKind::request) channel_->send(encode_error(header.id, error));
}

void ServedPeer::on_closed(const Error& reason) {
  // A handshake that failed, unless one of both just went away.
  if (!is_open_ && reason.code() != ErrorCode::unavailable) by_->refusals.note(address_.text, reason);
  calls_->close();
  gone_(shared_from_this());
}

void ServedPeer::send(const Message& reply) {
  if (channel_->send(encode_reply(reply)) == Channel::Sent::queue_full) {
    channel_->close(
        Error(ErrorCode::overloaded, "connection with " + address_.text + ": the peer does not read its replies"));
  }
  channel_->resume();
}

EncodedMessage ServedPeer::encode_reply(const Message& reply) const {
  try {
    return encode(reply, by_->options.payload_checksum.value_or(true), by_->options.limits);
  } catch (const Error& error) {
    return encode_error(reply.id, error);
  } catch (const std::exception& error) {
    return encode_error(reply.id, Error(ErrorCode::internal, std::string("reply: ") + error.what()));
  }
}

}  // namespace splitnet::detail
