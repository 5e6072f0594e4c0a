// SPDX-License-Identifier: Apache-2.0
// An entropy coder for small whole numbers whose probabilities are known for each of several contexts: range asymmetric
// numeral systems (Duda, "Asymmetric numeral systems", arXiv:1311.2540, §3), one state of 32 bits, 16 bits at a time.
// Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace splitnet::detail {

inline constexpr unsigned symbol_count = 16;  ///< 0 … 15 in every context.
inline constexpr unsigned probability_bits = 14;
inline constexpr std::uint32_t probability_one = 1U << probability_bits;

/// How often each symbol comes in one context; at least 1 each, probability_one together.
using SymbolFrequencies = std::array<std::uint16_t, symbol_count>;

/// Of all contexts. Immutable.
class SymbolModel {
 public:
  /// Throws corrupt for frequencies that are 0 or do not add up.
  explicit SymbolModel(std::span<const SymbolFrequencies> contexts);
  [[nodiscard]] std::size_t contexts() const { return starts_.size(); }
  /// Frequencies of the symbols before this one; of symbol_count: probability_one.
  [[nodiscard]] std::uint32_t start(std::size_t context, unsigned symbol) const { return starts_[context][symbol]; }
  [[nodiscard]] std::uint32_t frequency(std::size_t context, unsigned symbol) const {
    return starts_[context][symbol + 1] - starts_[context][symbol];
  }

 private:
  std::vector<std::array<std::uint32_t, symbol_count + 1>> starts_;
};

/// Frequencies near to these counts, none of them 0.
SymbolFrequencies frequencies_of(std::span<const double> counts);

/// The last two bytes before the plain bits say how long those are; see symbol_coder.cpp.
class SymbolWriter {
 public:
  /// What `finish` writes at most for so many symbols and plain bits.
  static std::size_t max_bytes(std::size_t symbols, std::size_t bits);

  /// Room for `symbols` symbols, in this thread's scratch memory; writes to `to`, which has max_bytes.
  SymbolWriter(const SymbolModel& model, std::size_t symbols, std::span<std::byte> to);
  void put(std::size_t context, unsigned symbol) {
    symbols_[count_++] = static_cast<std::uint32_t>(context) * symbol_count + symbol;
  }
  /// The lowest `count` (at most 32) bits, as they are.
  void put_bits(std::uint32_t bits, unsigned count);
  /// The bytes written.
  std::size_t finish();

 private:
  const SymbolModel& model_;
  std::span<std::uint32_t> symbols_;
  std::span<std::byte> to_;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;  ///< Of plain bits, at the start of to_.
  std::uint64_t waiting_ = 0;
  unsigned waiting_bits_ = 0;
};

/// Reads what SymbolWriter wrote, and never beyond: behind the end are zeros, and `finish` throws.
class SymbolReader {
 public:
  /// Throws corrupt when the bytes are too few to be anything.
  SymbolReader(const SymbolModel& model, std::span<const std::byte> from);
  unsigned get(std::size_t context) {
    const std::uint32_t slot = state_ & (probability_one - 1);
    unsigned symbol = 0;
    while (slot >= model_.start(context, symbol + 1)) ++symbol;
    const std::uint32_t start = model_.start(context, symbol);
    state_ = (model_.start(context, symbol + 1) - start) * (state_ >> probability_bits) + slot - start;
    if (state_ < lowest_state) state_ = (state_ << 16U) | next_word();
    return symbol;
  }
  std::uint32_t get_bits(unsigned count);
  /// Throws corrupt unless all was read and nothing is left.
  void finish() const;

 private:
  static constexpr std::uint32_t lowest_state = 1U << 16U;
  std::uint32_t next_word();

  const SymbolModel& model_;
  std::span<const std::byte> words_;
  std::span<const std::byte> bits_;
  std::size_t word_at_ = 0;
  std::size_t bit_at_ = 0;
  std::uint32_t state_ = 0;
  bool is_beyond_ = false;
};

}  // namespace splitnet::detail
