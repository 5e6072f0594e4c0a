// SPDX-License-Identifier: Apache-2.0
// One connected socket: what a StreamChannel reads from and writes to. Private.
#pragma once

#include <sys/uio.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "asio.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

using StreamSocket = asio::generic::stream_protocol::socket;
using StreamEndpoint = asio::generic::stream_protocol::endpoint;
using StreamAcceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol>;

/// Plain bytes; TlsStream encrypts them. All but `write` and `shutdown` on the context's thread. The descriptor is
/// closed by the destructor only, so that no thread can meet a recycled number.
class ByteStream {
 public:
  using Done = std::function<void(const boost::system::error_code&)>;
  using ReadDone = std::function<void(const boost::system::error_code&, std::size_t)>;
  struct Written {
    std::size_t bytes = 0;
    int error = 0;  ///< An errno; EAGAIN: wait until it can be written to.
  };

  explicit ByteStream(StreamSocket socket);
  virtual ~ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  /// Both sides prove who they are; a second time it is done at once.
  virtual void async_handshake(Done done);
  /// The stream must have as many bytes to come as `space` takes, if that is more than a megabyte: who waits for that
  /// much is not woken by every little that arrives.
  virtual void async_read(std::span<std::byte> space, ReadDone done);
  /// What is there already; 0: nothing, or an end that the next async_read reports.
  virtual std::size_t read_more(std::span<std::byte> space) noexcept;
  /// Any thread, one at a time.
  virtual Written write(const iovec* vectors, std::size_t count) noexcept;
  void async_wait_writable(Done done);
  /// Nothing more will be written.
  virtual void shutdown_write() noexcept;
  /// Any thread: ends pending reads and writes.
  void shutdown() noexcept;
  void cancel() noexcept;
  /// What the error of a handshake or a read means for who called.
  [[nodiscard]] virtual Error explain(const boost::system::error_code& error, const std::string& peer) const;

 protected:
  [[nodiscard]] StreamSocket& socket() noexcept { return socket_; }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  void wake_at(std::size_t bytes) noexcept;

  StreamSocket socket_;
  const int descriptor_;
  std::size_t wakes_at_bytes_ = 1;
};

/// For roads that damage nothing on the way: no checksum over payloads, unless it was asked for.
template <class Options>
Options without_checksum(Options options) {
  options.payload_checksum = options.payload_checksum.value_or(false);
  return options;
}

/// A TCP socket's own ways: no waiting for more to send, and a peer whose machine is silent for so long is gone.
void configure_tcp(StreamSocket& socket, std::chrono::nanoseconds dead_peer_timeout);

}  // namespace splitnet::detail
