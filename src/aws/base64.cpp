// SPDX-License-Identifier: Apache-2.0
// Runs of vectors where AVX2 is there, the rest by OpenSSL, which knows padding and says what is no base64.
#include "aws/base64.hpp"

#include <openssl/evp.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

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

#if defined(__x86_64__)

/// The same 16 bytes in both halves: shuffles work within halves.
__attribute__((target("avx2"))) __m256i table(char a, char b, char c, char d, char e, char f, char g, char h, char i,
                                              char j, char k, char l, char m, char n, char o, char p) {
  return _mm256_broadcastsi128_si256(_mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p));
}

__attribute__((target("avx2"))) __m256i halves(const void* low, const void* high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(low))),
                                 _mm_loadu_si128(static_cast<const __m128i*>(high)), 1);
}

/// 24 bytes are 32 characters. Returns how many bytes it has read, a multiple of 24.
__attribute__((target("avx2"))) std::size_t encode_avx2(std::span<const std::byte> bytes, char* out) {
  constexpr std::size_t read = 12 + 16;
  // Of each three bytes a, b, c two numbers of 16 bits, ab and bc, have the four numbers of 6 bits.
  const __m256i pairs = table(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  // What is to be added to get the character, for: a-z, 0-9 (ten times), +, /, A-Z.
  const __m256i offsets = table(71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 65, 0, 0);
  std::size_t at = 0;
  for (; bytes.size() - at >= read; at += 24, out += 32) {
    const std::byte* const from = bytes.data() + at;
    const __m256i in = _mm256_shuffle_epi8(halves(from, from + 12), pairs);
    const __m256i even = _mm256_mulhi_epu16(_mm256_and_si256(in, _mm256_set1_epi32(0x0fc0fc00)),
                                            _mm256_set1_epi32(0x04000040));  // Shifts by 10 and by 6 to the right.
    const __m256i odd = _mm256_mullo_epi16(_mm256_and_si256(in, _mm256_set1_epi32(0x003f03f0)),
                                           _mm256_set1_epi32(0x01000010));  // By 4 and by 8 to the left.
    const __m256i numbers = _mm256_or_si256(even, odd);
    const __m256i is_capital = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), numbers);
    const __m256i group = _mm256_or_si256(_mm256_subs_epu8(numbers, _mm256_set1_epi8(51)),
                                          _mm256_and_si256(is_capital, _mm256_set1_epi8(13)));
    const __m256i characters = _mm256_add_epi8(numbers, _mm256_shuffle_epi8(offsets, group));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), characters);
  }
  return at;
}

/// Returns how many characters it has read, a multiple of 32: it stops where there is something else, or the end.
__attribute__((target("avx2"))) std::size_t decode_avx2(std::string_view text, std::byte* out) {
  // It writes 28 bytes for 24, and never behind what all characters make.
  constexpr std::size_t least = 40;
  // By its upper half (+ and / have 2, digits 3, letters 4 to 7) a character has a bit, which the table of lower halves
  // has where the two make none of base64.
  const __m256i upper_bits = table(16, 16, 1, 2, 4, 8, 4, 8, 16, 16, 16, 16, 16, 16, 16, 16);
  const __m256i lower_bits =
      table(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
  // By the upper half; that of / less one.
  const __m256i offsets = table(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i reversed = table(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  const __m256i half = _mm256_set1_epi8(15);
  std::size_t at = 0;
  for (; text.size() - at >= least; at += 32, out += 24) {
    const char* const from = text.data() + at;
    const __m256i in = halves(from, from + 16);
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(in, 4), half);
    const __m256i lower = _mm256_and_si256(in, half);
    if (_mm256_testz_si256(_mm256_shuffle_epi8(upper_bits, upper), _mm256_shuffle_epi8(lower_bits, lower)) == 0) break;
    const __m256i is_slash = _mm256_cmpeq_epi8(in, _mm256_set1_epi8('/'));
    const __m256i numbers = _mm256_add_epi8(in, _mm256_shuffle_epi8(offsets, _mm256_add_epi8(upper, is_slash)));
    const __m256i twelves = _mm256_maddubs_epi16(numbers, _mm256_set1_epi32(0x01400140));
    const __m256i triples = _mm256_madd_epi16(twelves, _mm256_set1_epi32(0x00011000));
    const __m256i bytes = _mm256_shuffle_epi8(triples, reversed);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 12), _mm256_extracti128_si256(bytes, 1));
  }
  return at;
}

std::size_t encode_vectors(std::span<const std::byte> bytes, char* out) {
  return __builtin_cpu_supports("avx2") != 0 ? encode_avx2(bytes, out) : 0;
}
std::size_t decode_vectors(std::string_view text, std::byte* out) {
  return __builtin_cpu_supports("avx2") != 0 ? decode_avx2(text, out) : 0;
}

#else

std::size_t encode_vectors(std::span<const std::byte>, char*) {
  return 0;
}
std::size_t decode_vectors(std::string_view, std::byte*) {
  return 0;
}

#endif

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
    const std::size_t done = encode_vectors(bytes, out_);
    out_ += done / 3 * 4;
    bytes = bytes.subspan(done);
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

void write_base64(char* text, const EncodedMessage& message) {
  Writer writer(text);
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
  for (std::size_t at = decode_vectors(text, all.data()); at < text.size(); at += run_chars) {
    const auto run = text.substr(at, run_chars);
    const int written = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(all.data()) + at / 4 * 3,
                                        unsigned_of(run.data()), static_cast<int>(run.size()));
    if (written != static_cast<int>(run.size() / 4 * 3)) return std::nullopt;
  }
  return all.slice(0, bytes - padding);
}

}  // namespace splitnet::detail
