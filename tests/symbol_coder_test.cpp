// SPDX-License-Identifier: Apache-2.0
#include "symbol_coder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "damaged_bytes.hpp"
#include "error_of.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

using testing::throws;

/// Geometric, the flatter the higher the context.
std::vector<SymbolFrequencies> some_frequencies(std::size_t contexts) {
  std::vector<SymbolFrequencies> result;
  for (std::size_t c = 0; c < contexts; ++c) {
    std::vector<double> counts;
    for (unsigned s = 0; s < symbol_count; ++s) counts.push_back(std::pow(0.02 + 0.09 * static_cast<double>(c), s));
    result.push_back(frequencies_of(counts));
  }
  return result;
}

struct Item {
  std::size_t context;
  unsigned symbol;
  std::uint32_t bits;
  unsigned bit_count;
};

std::vector<Item> random_items(std::size_t count, std::size_t contexts) {
  std::mt19937 random(1);
  std::vector<Item> items;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t context = random() % contexts;
    std::geometric_distribution<unsigned> symbol(0.98 - 0.09 * static_cast<double>(context));
    const unsigned bits = random() % 4 == 0 ? random() % 33 : 0;
    const auto value = static_cast<std::uint32_t>(random());
    items.push_back(
        {context, std::min(symbol(random), symbol_count - 1), bits == 32 ? value : value & ((1U << bits) - 1), bits});
  }
  return items;
}

std::vector<std::byte> written(const SymbolModel& model, const std::vector<Item>& items) {
  std::size_t bits = 0;
  for (const Item& item : items) bits += item.bit_count;
  std::vector<std::byte> bytes(SymbolWriter::max_bytes(items.size(), bits));
  SymbolWriter writer(model, items.size(), bytes);
  for (const Item& item : items) {
    writer.put(item.context, item.symbol);
    writer.put_bits(item.bits, item.bit_count);
  }
  bytes.resize(writer.finish());
  return bytes;
}

TEST(SymbolCoder, GivesBackWhatWasPutIn) {
  const SymbolModel model(some_frequencies(10));
  for (const std::size_t count : {0, 1, 2, 100, 20000}) {
    const auto items = random_items(count, model.contexts());
    const auto bytes = written(model, items);
    SymbolReader reader(model, bytes);
    for (const Item& item : items) {
      ASSERT_EQ(reader.get(item.context), item.symbol);
      ASSERT_EQ(reader.get_bits(item.bit_count), item.bits);
    }
    reader.finish();
  }
}

/// Within 1 % of what the probabilities allow.
TEST(SymbolCoder, TakesHardlyMoreThanTheEntropy) {
  const SymbolModel model(some_frequencies(10));
  auto items = random_items(20000, model.contexts());
  double bits = 0;
  for (Item& item : items) {
    item.bit_count = 0;
    bits -= std::log2(static_cast<double>(model.frequency(item.context, item.symbol)) / probability_one);
  }
  EXPECT_LT(static_cast<double>(written(model, items).size()) * 8, bits * 1.01);
}

TEST(SymbolCoder, NeverReadsBeyondDamagedBytes) {
  const SymbolModel model(some_frequencies(10));
  const auto items = random_items(500, model.contexts());
  const auto good = written(model, items);
  std::mt19937 random(2);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto bad = testing::damaged(good, round, random);
    try {
      SymbolReader reader(model, bad);
      for (const Item& item : items) {
        ASSERT_LT(reader.get(item.context), symbol_count);
        (void)reader.get_bits(item.bit_count);
      }
      reader.finish();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt);
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(SymbolModel, ChecksItsFrequencies) {
  auto frequencies = some_frequencies(2);
  frequencies[1][3] += 1;
  EXPECT_TRUE(throws(ErrorCode::corrupt, "add up to 16385, expected 16384", [&] { SymbolModel model(frequencies); }));
  frequencies[1][3] = 0;
  EXPECT_TRUE(throws(ErrorCode::corrupt, "never comes", [&] { SymbolModel model(frequencies); }));
}

}  // namespace
}  // namespace splitnet::detail
