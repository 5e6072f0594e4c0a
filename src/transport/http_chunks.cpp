// SPDX-License-Identifier: Apache-2.0
#include "http_chunks.hpp"

#include <algorithm>
#include <cstring>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

[[noreturn]] void refuse(const char* what) {
  throw Error(ErrorCode::corrupt, std::string("http: ") + what);
}

/// -1: none.
int hex_digit(unsigned char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

HttpChunks::Used HttpChunks::put(std::span<const std::byte> input, std::span<std::byte> space) {
  Used used;
  while (used.bytes < input.size() && state_ != State::done) {
    if (state_ != State::data) {
      step(std::to_integer<unsigned char>(input[used.bytes++]));
      continue;
    }
    const auto room = std::min(input.size() - used.bytes, space.size() - used.written);
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(room, left_));
    if (part == 0) break;
    std::memcpy(space.data() + used.written, input.data() + used.bytes, part);
    used.bytes += part;
    used.written += part;
    left_ -= part;
    if (left_ == 0) state_ = State::data_cr;
  }
  return used;
}

void HttpChunks::step(unsigned char c) {
  const auto expect = [&](char wanted, State next) {
    if (c != static_cast<unsigned char>(wanted)) refuse("a chunk without the end of line that belongs there");
    state_ = next;
  };
  switch (state_) {
    case State::size_begin:
    case State::size: return step_size(c);
    case State::extension: return ignore(c, State::size_end);
    case State::size_end: return expect('\n', left_ == 0 ? State::trailer_begin : State::data);
    case State::data_cr: return expect('\r', State::data_lf);
    case State::data_lf: return expect('\n', State::size_begin);
    case State::trailer_begin:
      if (c == '\r') {
        state_ = State::last_lf;
        return;
      }
      state_ = State::trailer;
      return ignore(c, State::trailer_end);
    case State::trailer: return ignore(c, State::trailer_end);
    case State::trailer_end: return expect('\n', State::trailer_begin);
    case State::last_lf: return expect('\n', State::done);
    case State::data:
    case State::done: return;
  }
}

void HttpChunks::step_size(unsigned char c) {
  const int digit = hex_digit(c);
  if (digit >= 0) {
    if (left_ >> 60U != 0) refuse("a chunk of more bytes than 64 bits can count");
    left_ = left_ * 16 + static_cast<unsigned>(digit);
    state_ = State::size;
    return;
  }
  if (state_ == State::size_begin) refuse("a chunk without a size");
  if (c == ';') {
    state_ = State::extension;
  } else if (c == '\r') {
    state_ = State::size_end;
  } else {
    refuse("a chunk whose size is not a hexadecimal number");
  }
}

void HttpChunks::ignore(unsigned char c, State at_cr) {
  if (++ignored_bytes_ > max_ignored_bytes) refuse("chunks with too many extensions or trailers");
  if (c == '\r') {
    state_ = at_cr;
  } else if (c < ' ' && c != '\t') {
    refuse("a control character between chunks");
  }
}

}  // namespace splitnet::detail
