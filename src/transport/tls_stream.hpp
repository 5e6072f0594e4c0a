// SPDX-License-Identifier: Apache-2.0
// A socket with TLS. Private.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <vector>

#include "byte_stream.hpp"

namespace splitnet::detail {

struct FreeSsl {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};
using SslPtr = std::unique_ptr<SSL, FreeSsl>;

/// OpenSSL reads and writes the descriptor itself, without a copy on the way; one lock lets the thread that calls write
/// while the context's thread reads.
class TlsStream : public ByteStream {
 public:
  /// `ssl` knows which side it is, and whom to trust.
  TlsStream(StreamSocket socket, SslPtr ssl);

  void async_handshake(Done done) override;
  void async_read(std::span<std::byte> space, ReadDone done) override;
  std::size_t read_more(std::span<std::byte> space) noexcept override;
  Written write(const iovec* vectors, std::size_t count) noexcept override;
  void shutdown_write() noexcept override;
  [[nodiscard]] Error explain(const boost::system::error_code& error, const std::string& peer) const override;

 private:
  /// What OpenSSL waits for; nothing: it is done, or has failed.
  enum class Wait { none, read, write };
  struct Result {
    std::size_t bytes = 0;
    Wait wait = Wait::none;
    boost::system::error_code error;
  };
  Result result_of(int returned, std::size_t bytes) const noexcept;  // Under the lock.
  Result read(std::span<std::byte> space) noexcept;
  Result write_some(const std::byte* data, std::size_t bytes) noexcept;

  mutable std::mutex mutex_;  // Guards ssl_.
  const SslPtr ssl_;
  std::vector<std::byte> gathered_;  // Small buffers travel in one record; the writing thread's.
};

}  // namespace splitnet::detail
