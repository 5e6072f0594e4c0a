// SPDX-License-Identifier: Apache-2.0
#include "http_sender.hpp"

#include <cerrno>
#include <utility>

namespace splitnet::detail {
namespace {

// Then other sockets of the thread have their turn.
constexpr int kTurnsInARow = 16;

}  // namespace

void HttpSender::send(std::string head, EncodedMessage message, std::function<void(int error)> done) {
  head_ = std::move(head);
  message_ = std::move(message);
  done_ = std::move(done);
  front_ = front_bytes_ = sent_bytes_ = 0;
  write();
}

void HttpSender::stop() noexcept {
  const auto keeps_owner = std::exchange(done_, nullptr);
  message_ = {};
}

std::span<const std::byte> HttpSender::buffer(std::size_t index) const {
  if (index == 0) return std::as_bytes(std::span(head_));
  return message_.buffers[index - 1];
}

std::size_t HttpSender::gather(std::array<iovec, max_vectors>& vectors) const {
  std::size_t count = 0;
  std::size_t skip = front_bytes_;
  for (std::size_t i = front_; i <= message_.buffers.size() && count < max_vectors; ++i) {
    const auto bytes = buffer(i).subspan(skip);
    skip = 0;
    if (!bytes.empty()) vectors[count++] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  }
  return count;
}

void HttpSender::consume(std::size_t bytes) {
  sent_bytes_ += bytes;
  front_bytes_ += bytes;
  while (front_ <= message_.buffers.size() && front_bytes_ >= buffer(front_).size()) {
    front_bytes_ -= buffer(front_).size();
    ++front_;
  }
}

void HttpSender::write() {
  for (int turn = 0; turn < kTurnsInARow; ++turn) {
    std::array<iovec, max_vectors> vectors;
    const auto count = gather(vectors);
    if (count == 0) return finish(0);
    const auto [sent, error] = stream_.write(vectors.data(), count);
    if (error == EAGAIN) break;
    if (error != 0) return finish(error);
    consume(sent);
  }
  wait_writable();
}

void HttpSender::wait_writable() {
  // `done_` holds the owner, which holds this and the stream; a copy does so too when `stop` drops it meanwhile.
  stream_.async_wait_writable([this, keeps_owner = done_](const boost::system::error_code& error) {
    if (!done_) return;
    error ? finish(ECANCELED) : write();
  });
}

void HttpSender::finish(int error) {
  const auto done = std::exchange(done_, nullptr);
  message_ = {};
  done(error);
}

}  // namespace splitnet::detail
