// SPDX-License-Identifier: Apache-2.0
// Cuts the bytes that an HTTP peer sends into heads and bodies; knows nothing of sockets. Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "http_body.hpp"
#include "http_chunks.hpp"

namespace splitnet::detail {

/// What a request line or a status line says, and the fields that we look at.
struct HttpHead {
  std::string method;                   ///< Of a request.
  std::string target;                   ///< Likewise.
  std::string authorization;            ///< Likewise.
  TraceContext trace;                   ///< Likewise; empty: none that is well-formed.
  bool expects_continue = false;        ///< Likewise: it sends its body when it is told so.
  unsigned status = 0;                  ///< Of a response; never 1xx.
  std::string location;                 ///< Of a response that leads elsewhere.
  bool keeps_alive = false;             ///< Another message may follow on this stream.
  bool is_old = false;                  ///< HTTP/1.0.
  bool is_chunked = false;              ///< The body comes in chunks; else:
  std::optional<std::uint64_t> length;  ///< of the body; none: a response goes on to the end of the stream.

  [[nodiscard]] bool has_body() const noexcept { return is_chunked || length.value_or(0) > 0; }
};

/// Heads are read into a small staging buffer and parsed by Beast. Of a body with a length what came along with its
/// head is copied once, and the rest is read straight into its own aligned storage; chunks go through the staging
/// buffer, with one copy. Not thread-safe.
class HttpReader {
 public:
  enum class Reads { requests, responses };
  static constexpr std::size_t max_head_bytes = 8 * 1024;
  using Frame = HttpBody::Frame;

  HttpReader(Reads reads, std::shared_ptr<BufferPool> pool, std::shared_ptr<ByteBudget> budget = {});
  ~HttpReader();
  HttpReader(const HttpReader&) = delete;
  HttpReader& operator=(const HttpReader&) = delete;

  /// Where the next bytes go, and how many have come there; nothing else is called between both. Never empty once
  /// `next_head` or `next_body` has returned nothing.
  [[nodiscard]] std::span<std::byte> space() noexcept;
  void filled(std::size_t bytes);
  /// The same for bytes that lie elsewhere, `room` at most while nobody asks for heads and bodies.
  void put(std::span<const std::byte> bytes);
  [[nodiscard]] std::size_t room() const noexcept { return staging_.size() - end_; }

  /// The next head, when it is complete. Throws corrupt, too_large: then the stream can't be followed any further.
  std::optional<HttpHead> next_head();
  /// After a head that has one: its body, when it is complete. Throws corrupt, incompatible, too_large (the stream
  /// can't be followed), overloaded (no memory; likewise).
  std::optional<Frame> next_body(const MessageLimits& limits);

  /// Bytes have come that belong to no message that was returned.
  [[nodiscard]] bool has_bytes() const noexcept { return begin_ != end_ || head_bytes_ > 0; }
  /// The body of a large message is being filled in place: more bytes are likely on their way.
  [[nodiscard]] bool fills_body() const noexcept;

 private:
  class Parser;
  template <bool is_request>
  class BeastParser;

  std::optional<HttpHead> parse_head();
  void use_staged_body();
  void use_staged_chunks();
  void move_to_front() noexcept;

  const Reads reads_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<ByteBudget> budget_;
  std::array<std::byte, max_head_bytes> staging_;
  std::size_t begin_ = 0;  // staging_[begin_, end_) has been received and not yet used.
  std::size_t end_ = 0;
  std::unique_ptr<Parser> parser_;  // While a head comes in.
  std::size_t head_bytes_ = 0;      // Of it, those that the parser has used.
  HttpHead head_;
  HttpChunks chunks_;
  std::optional<HttpBody> body_;
};

}  // namespace splitnet::detail
