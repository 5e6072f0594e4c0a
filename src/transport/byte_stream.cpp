// SPDX-License-Identifier: Apache-2.0
#include "byte_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace splitnet::detail {
namespace {

// A reader that sleeps until so much has come is woken a tenth as often, and copies while the sender goes on: 10 MB
// over loopback take 60 % of the time (docs/benchmarks.md). Half of it, or twice, gains less. Where little is left, as
// in messages of 1 MB, waiting would cost more.
constexpr std::size_t kGatheredBytes = 1'000'000;
constexpr std::size_t kFewestToGather = 1'250'000;

}  // namespace

ByteStream::ByteStream(StreamSocket socket) : socket_(std::move(socket)), descriptor_(socket_.native_handle()) {}

void ByteStream::async_handshake(Done done) {
  done({});
}

void ByteStream::wake_at(std::size_t bytes) noexcept {
  if (bytes == wakes_at_bytes_) return;
  wakes_at_bytes_ = bytes;
  const int value = static_cast<int>(bytes);
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value);  // What fails here is only slower.
}

void ByteStream::async_read(std::span<std::byte> space, ReadDone done) {
  wake_at(space.size() < kFewestToGather ? 1 : std::min(kGatheredBytes, space.size() / 2));
  socket_.async_read_some(asio::buffer(space.data(), space.size()), std::move(done));
}

std::size_t ByteStream::read_more(std::span<std::byte> space) noexcept {
  const auto bytes = ::recv(descriptor_, space.data(), space.size(), MSG_DONTWAIT);
  return bytes <= 0 ? 0 : static_cast<std::size_t>(bytes);
}

ByteStream::Written ByteStream::write(const iovec* vectors, std::size_t count) noexcept {
  msghdr header{};
  header.msg_iov = const_cast<iovec*>(vectors);
  header.msg_iovlen = count;
  for (;;) {
    const auto sent = ::sendmsg(descriptor_, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return {static_cast<std::size_t>(sent), 0};
    if (errno != EINTR) return {0, errno == EWOULDBLOCK ? EAGAIN : errno};
  }
}

void ByteStream::async_wait_writable(Done done) {
  socket_.async_wait(StreamSocket::wait_write, std::move(done));
}

void ByteStream::shutdown_write() noexcept {
  ::shutdown(descriptor_, SHUT_WR);
}

void ByteStream::shutdown() noexcept {
  ::shutdown(descriptor_, SHUT_RDWR);
}

void ByteStream::cancel() noexcept {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

Error ByteStream::explain(const boost::system::error_code& error, const std::string& peer) const {
  return Error(ErrorCode::unavailable,
               "connection with " + peer + ": " + (error == asio::error::eof ? "closed by the peer" : error.message()));
}

void configure_tcp(StreamSocket& socket, std::chrono::nanoseconds dead_peer_timeout) {
  const int descriptor = socket.native_handle();
  const auto set = [descriptor](int level, int option, int value) {
    ::setsockopt(descriptor, level, option, &value, sizeof value);  // What fails here is only slower to notice.
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  if (dead_peer_timeout.count() <= 0) return;
  using std::chrono::duration_cast;
  const auto milliseconds = duration_cast<std::chrono::milliseconds>(dead_peer_timeout).count();
  const auto seconds = static_cast<int>(std::clamp<std::int64_t>(milliseconds / 1000, 1, 1 << 15));
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  // Half of the time in silence, the other half with three questions.
  set(IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, seconds / 2));
  set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, seconds / 6));
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(std::clamp<std::int64_t>(milliseconds, 1, 1 << 30)));
}

}  // namespace splitnet::detail
