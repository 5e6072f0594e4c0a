// SPDX-License-Identifier: Apache-2.0
// Takes the chunks of an HTTP body apart (RFC 9112, section 7.1). Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace splitnet::detail {

/// Strict: whatever another reader could take for something else is refused. Beast's parser wants each line whole in
/// one buffer and asserts about what strangers send; this one keeps a few numbers. Not thread-safe.
class HttpChunks {
 public:
  /// Extensions and trailers of one body, which nobody looks at, in bytes.
  static constexpr std::size_t max_ignored_bytes = 64 * 1024;

  struct Used {
    std::size_t bytes = 0;    ///< Of the input.
    std::size_t written = 0;  ///< Into the space.
  };
  /// Uses the input up, but for what comes behind the last chunk and data for which there is no space. Throws corrupt.
  Used put(std::span<const std::byte> input, std::span<std::byte> space);
  /// The next byte of the input is data.
  [[nodiscard]] bool has_data_next() const noexcept { return state_ == State::data; }
  [[nodiscard]] bool is_done() const noexcept { return state_ == State::done; }

 private:
  enum class State {
    size_begin,
    size,
    extension,
    size_end,  // Behind the CR of the line with the size.
    data,
    data_cr,
    data_lf,
    trailer_begin,  // At the beginning of a line behind the last chunk.
    trailer,
    trailer_end,  // Behind the CR of a trailer.
    last_lf,      // Behind the CR of the empty line at the end.
    done,
  };
  void step(unsigned char c);
  void step_size(unsigned char c);
  void ignore(unsigned char c, State at_cr);

  State state_ = State::size_begin;
  std::uint64_t left_ = 0;  // Of the chunk.
  std::size_t ignored_bytes_ = 0;
};

}  // namespace splitnet::detail
