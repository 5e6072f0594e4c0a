// SPDX-License-Identifier: Apache-2.0
#include "tls_stream.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/ssl/error.hpp>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "tls_context.hpp"

namespace splitnet::detail {
namespace {

/// Of one TLS record.
constexpr std::size_t record_bytes = 16 * 1024;
/// A writer gives way to the reader after so much.
constexpr std::size_t bytes_in_a_row = 256 * 1024;

// OpenSSL's own socket BIO raises SIGPIPE when the peer is gone.
int descriptor_of(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}
int write_socket(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
  const auto sent = ::send(descriptor_of(bio), data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
  BIO_clear_retry_flags(bio);
  if (sent < 0 && BIO_sock_non_fatal_error(errno) != 0) BIO_set_retry_write(bio);
  *written = sent < 0 ? 0 : static_cast<std::size_t>(sent);
  return sent < 0 ? -1 : 1;
}
int read_socket(BIO* bio, char* data, std::size_t size, std::size_t* got) {
  const auto received = ::recv(descriptor_of(bio), data, size, MSG_DONTWAIT);
  BIO_clear_retry_flags(bio);
  if (received < 0 && BIO_sock_non_fatal_error(errno) != 0) BIO_set_retry_read(bio);
  if (received == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  *got = received < 0 ? 0 : static_cast<std::size_t>(received);
  return received < 0 ? -1 : received > 0 ? 1 : 0;
}
long control_socket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO* new_socket_bio(int descriptor) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");
    BIO_meth_set_write_ex(made, write_socket);
    BIO_meth_set_read_ex(made, read_socket);
    BIO_meth_set_ctrl(made, control_socket);
    return made;
  }();
  BIO* const bio = BIO_new(method);
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace

TlsStream::TlsStream(StreamSocket socket, SslPtr ssl) : ByteStream(std::move(socket)), ssl_(std::move(ssl)) {
  BIO* const bio = new_socket_bio(descriptor());
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_mode(ssl_.get(),
               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

TlsStream::Result TlsStream::result_of(int returned, std::size_t bytes) const noexcept {
  if (returned > 0) return {bytes, Wait::none, {}};
  const int cause = errno;
  switch (SSL_get_error(ssl_.get(), returned)) {
    case SSL_ERROR_WANT_READ: return {0, Wait::read, {}};
    case SSL_ERROR_WANT_WRITE: return {0, Wait::write, {}};
    case SSL_ERROR_ZERO_RETURN: return {0, Wait::none, asio::error::eof};
    case SSL_ERROR_SSL: {
      const auto code = static_cast<int>(ERR_get_error());
      ERR_clear_error();
      // A peer that ends without the last word of TLS: our messages have their own lengths.
      if (ERR_GET_REASON(static_cast<unsigned long>(code)) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return {0, Wait::none, asio::error::eof};
      }
      return {0, Wait::none, {code, asio::error::get_ssl_category()}};
    }
    default: break;
  }
  ERR_clear_error();
  if (cause == 0) return {0, Wait::none, asio::error::eof};
  return {0, Wait::none, {cause, boost::system::system_category()}};
}

void TlsStream::async_handshake(Done done) {
  Result result;
  {
    const std::lock_guard lock(mutex_);
    errno = 0;
    result = result_of(SSL_do_handshake(ssl_.get()), 0);
  }
  if (result.wait == Wait::none) return done(result.error);
  socket().async_wait(result.wait == Wait::read ? StreamSocket::wait_read : StreamSocket::wait_write,
                      [this, done = std::move(done)](const boost::system::error_code& error) mutable {
                        error ? done(error) : async_handshake(std::move(done));
                      });
}

// ---- reading -----------------------------------------------------------------------------------

TlsStream::Result TlsStream::read(std::span<std::byte> space) noexcept {
  std::size_t bytes = 0;
  const std::lock_guard lock(mutex_);
  errno = 0;
  const int returned = SSL_read_ex(ssl_.get(), space.data(), space.size(), &bytes);
  return result_of(returned, bytes);
}

void TlsStream::async_read(std::span<std::byte> space, ReadDone done) {
  // Asked for nothing, OpenSSL would wait for more.
  const Result result = space.empty() ? Result() : read(space);
  if (result.wait == Wait::none) {
    asio::post(socket().get_executor(), [done = std::move(done), result] { done(result.error, result.bytes); });
    return;
  }
  socket().async_wait(result.wait == Wait::read ? StreamSocket::wait_read : StreamSocket::wait_write,
                      [this, space, done = std::move(done)](const boost::system::error_code& error) mutable {
                        error ? done(error, 0) : async_read(space, std::move(done));
                      });
}

std::size_t TlsStream::read_more(std::span<std::byte> space) noexcept {
  return read(space).bytes;
}

// ---- writing -----------------------------------------------------------------------------------

TlsStream::Result TlsStream::write_some(const std::byte* data, std::size_t bytes) noexcept {
  std::size_t written = 0;
  const std::lock_guard lock(mutex_);
  errno = 0;
  const int returned = SSL_write_ex(ssl_.get(), data, bytes, &written);
  return result_of(returned, written);
}

/// What could not be written is offered again, unchanged, by the next call: OpenSSL has encrypted it already.
ByteStream::Written TlsStream::write(const iovec* vectors, std::size_t count) noexcept {
  std::size_t all = 0;
  std::size_t skip = 0;  // Of the first buffer.
  for (std::size_t i = 0; i < count && all < bytes_in_a_row;) {
    const auto* data = static_cast<const std::byte*>(vectors[i].iov_base) + skip;
    std::size_t bytes = vectors[i].iov_len - skip;
    if (bytes < record_bytes && i + 1 < count) {
      gathered_.resize(record_bytes);
      std::size_t filled = 0;
      for (std::size_t j = i, from = skip; j < count && filled < record_bytes; ++j, from = 0) {
        const std::size_t part = std::min(vectors[j].iov_len - from, record_bytes - filled);
        std::memcpy(gathered_.data() + filled, static_cast<const std::byte*>(vectors[j].iov_base) + from, part);
        filled += part;
      }
      data = gathered_.data();
      bytes = filled;
    }
    const Result result = write_some(data, bytes);
    if (result.wait != Wait::none) return {all, all > 0 ? 0 : EAGAIN};
    if (result.error) return {all, all > 0 ? 0 : EPIPE};
    all += result.bytes;
    skip += result.bytes;
    while (i < count && skip >= vectors[i].iov_len) skip -= vectors[i++].iov_len;
  }
  return {all, 0};
}

void TlsStream::shutdown_write() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
  ByteStream::shutdown_write();
}

Error TlsStream::explain(const boost::system::error_code& error, const std::string& peer) const {
  if (error.category() != asio::error::get_ssl_category()) return ByteStream::explain(error, peer);
  const std::lock_guard lock(mutex_);
  return tls_error(ssl_.get(), error, "TLS with " + peer);
}

}  // namespace splitnet::detail
