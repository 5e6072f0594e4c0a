// SPDX-License-Identifier: Apache-2.0
// Layout: plain bits, the first lowest, filled up with zeros to whole bytes; words of 16 bits, little-endian, of which
// the first two are the state; 4 bytes, how many bytes of plain bits.
#include "symbol_coder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "scratch.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

constexpr std::uint32_t lowest_state = 1U << 16U;

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "entropy coder: " + what);
}

}  // namespace

SymbolModel::SymbolModel(std::span<const SymbolFrequencies> contexts) {
  for (const SymbolFrequencies& frequencies : contexts) {
    auto& starts = starts_.emplace_back();
    for (unsigned s = 0; s < symbol_count; ++s) {
      if (frequencies[s] == 0) corrupt("a symbol that never comes");
      starts[s + 1] = starts[s] + frequencies[s];
    }
    if (starts[symbol_count] != probability_one) {
      corrupt("frequencies add up to " + std::to_string(starts[symbol_count]) + ", expected " +
              std::to_string(probability_one));
    }
  }
}

SymbolFrequencies frequencies_of(std::span<const double> counts) {
  double sum = 0;
  for (const double count : counts) sum += count;
  SymbolFrequencies result{};
  std::uint32_t taken = 0;
  for (unsigned s = 0; s < symbol_count; ++s) {
    const double share = sum > 0 ? counts[s] / sum : 1.0 / symbol_count;
    result[s] = static_cast<std::uint16_t>(1 + std::floor(share * (probability_one - symbol_count)));
    taken += result[s];
  }
  *std::max_element(result.begin(), result.end()) += static_cast<std::uint16_t>(probability_one - taken);
  return result;
}

std::size_t SymbolWriter::max_bytes(std::size_t symbols, std::size_t bits) {
  return (bits + 7) / 8 + 2 * symbols + 4 + 4;  // A symbol puts out one word at most.
}

SymbolWriter::SymbolWriter(const SymbolModel& model, std::size_t symbols, std::span<std::byte> to)
    : model_(model), symbols_(scratch<std::uint32_t, ScratchUse::coded>(symbols)), to_(to) {}

void SymbolWriter::put_bits(std::uint32_t bits, unsigned count) {
  waiting_ |= static_cast<std::uint64_t>(bits) << waiting_bits_;
  waiting_bits_ += count;
  for (; waiting_bits_ >= 8; waiting_bits_ -= 8, waiting_ >>= 8U) to_[bytes_++] = static_cast<std::byte>(waiting_);
}

std::size_t SymbolWriter::finish() {
  if (waiting_bits_ > 0) to_[bytes_++] = static_cast<std::byte>(waiting_);
  // Backwards, from the end of the room: what is written last is read first.
  std::size_t at = to_.size();
  const auto put_word = [&](std::uint32_t word) {
    at -= 2;
    const auto low = static_cast<std::uint16_t>(word);
    std::memcpy(to_.data() + at, &low, 2);
  };
  std::uint32_t state = lowest_state;
  for (std::size_t i = count_; i-- > 0;) {
    const std::size_t context = symbols_[i] / symbol_count;
    const unsigned symbol = symbols_[i] % symbol_count;
    const std::uint32_t frequency = model_.frequency(context, symbol);
    if (state >= frequency << (32U - probability_bits)) {
      put_word(state);
      state >>= 16U;
    }
    state = (state / frequency << probability_bits) + state % frequency + model_.start(context, symbol);
  }
  put_word(state >> 16U);
  put_word(state);
  const auto bits_bytes = static_cast<std::uint32_t>(bytes_);
  std::memmove(to_.data() + bytes_, to_.data() + at, to_.size() - at);
  bytes_ += to_.size() - at;
  std::memcpy(to_.data() + bytes_, &bits_bytes, 4);
  return bytes_ + 4;
}

SymbolReader::SymbolReader(const SymbolModel& model, std::span<const std::byte> from) : model_(model) {
  std::uint32_t bits_bytes = 0;
  if (from.size() < 8) corrupt("found " + std::to_string(from.size()) + " bytes, expected 8 or more");
  std::memcpy(&bits_bytes, from.data() + from.size() - 4, 4);
  const auto rest = from.first(from.size() - 4);
  if (bits_bytes > rest.size() - 4) corrupt(std::to_string(bits_bytes) + " bytes of plain bits, and there are less");
  bits_ = rest.first(bits_bytes);
  words_ = rest.subspan(bits_bytes);
  if (words_.size() % 2 != 0) corrupt("half a word");
  const std::uint32_t low = next_word();
  state_ = (next_word() << 16U) | low;
}

std::uint32_t SymbolReader::next_word() {
  if (word_at_ + 2 > words_.size()) {
    is_beyond_ = true;
    return 0;
  }
  std::uint16_t word = 0;
  std::memcpy(&word, words_.data() + word_at_, 2);
  word_at_ += 2;
  return word;
}

std::uint32_t SymbolReader::get_bits(unsigned count) {
  std::uint32_t result = 0;
  for (unsigned got = 0; got < count;) {
    const std::size_t byte = bit_at_ / 8;
    const auto offset = static_cast<unsigned>(bit_at_ % 8);
    const unsigned step = std::min(8 - offset, count - got);
    if (byte >= bits_.size()) {
      is_beyond_ = true;
      return result;
    }
    const std::uint32_t found = (std::to_integer<std::uint32_t>(bits_[byte]) >> offset) & ((1U << step) - 1);
    result |= found << got;
    got += step;
    bit_at_ += step;
  }
  return result;
}

void SymbolReader::finish() const {
  if (is_beyond_) corrupt("the bytes end early");
  if (state_ != lowest_state || word_at_ != words_.size()) corrupt("the bytes are damaged, or more than expected");
  if ((bit_at_ + 7) / 8 != bits_.size()) corrupt("more plain bits than expected");
}

}  // namespace splitnet::detail
