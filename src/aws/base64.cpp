// SPDX-License-Identifier: Apache-2.0
#include "aws/base64.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <span>

namespace splitnet::detail {
namespace {

/// OpenSSL counts in int, and base64 in threes and fours.
constexpr std::size_t kRunBytes = std::size_t{3} << 20;

const unsigned char* unsigned_of(const void* bytes) {
  return static_cast<const unsigned char*>(bytes);
}

/// Bytes in any pieces, written as if they were one.
class Writer {
 public:
  explicit Writer(char* out) : out_(out) {}

  void write(std::span<const std::byte> bytes) {
    while (left_ > 0 && left_ < triple_.size() && !bytes.empty()) {
      triple_[left_++] = bytes.front();
      bytes = bytes.subspan(1);
    }
    if (left_ == triple_.size()) {
      encode(triple_);
      left_ = 0;
    }
    const std::size_t whole = bytes.size() / 3 * 3;
    encode(bytes.first(whole));
    for (const std::byte byte : bytes.subspan(whole)) triple_[left_++] = byte;
  }
  void finish() { encode(std::span(triple_).first(left_)); }

 private:
  void encode(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const std::size_t run = std::min(bytes.size(), kRunBytes);
      // It ends each run with a zero, where the next one begins, or the string ends.
      out_ += EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out_), unsigned_of(bytes.data()), static_cast<int>(run));
      bytes = bytes.subspan(run);
    }
  }

  char* out_;
  std::array<std::byte, 3> triple_{};
  std::size_t left_ = 0;
};

}  // namespace

void append_base64(std::string& text, const EncodedMessage& message) {
  const std::size_t begin = text.size();
  text.resize(begin + base64_size(message.size_bytes));
  Writer writer(text.data() + begin);
  for (const auto& buffer : message.buffers) writer.write(buffer);
  writer.finish();
}

std::optional<Storage> decode_base64(std::string_view text, BufferPool& pool) {
  // It takes padding anywhere, and passes over spaces at both ends, which makes what it writes too short.
  const auto end = text.find('=');
  const std::size_t padding = end == std::string_view::npos ? 0 : text.size() - end;
  const bool is_padded = padding == 0 || (padding == 1) || (padding == 2 && text.back() == '=');
  if (text.size() % 4 != 0 || !is_padded) return std::nullopt;
  const std::size_t bytes = text.size() / 4 * 3;
  Storage all = pool.take(bytes);
  constexpr std::size_t run_chars = kRunBytes / 3 * 4;
  for (std::size_t at = 0; at < text.size(); at += run_chars) {
    const auto run = text.substr(at, run_chars);
    const int written = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(all.data()) + at / 4 * 3,
                                        unsigned_of(run.data()), static_cast<int>(run.size()));
    if (written != static_cast<int>(run.size() / 4 * 3)) return std::nullopt;
  }
  return all.slice(0, bytes - padding);
}

}  // namespace splitnet::detail
