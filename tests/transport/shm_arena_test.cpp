// SPDX-License-Identifier: Apache-2.0
#include "transport/shm_arena.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace splitnet::detail {
namespace {

constexpr std::size_t kPage = 4096;

struct Dropped {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  ShmArena::Drop note() {
    return [this](std::size_t offset, std::size_t bytes) { ranges.emplace_back(offset, bytes); };
  }
};

TEST(ShmArena, DealsOutWholePages) {
  Dropped dropped;
  ShmArena arena(10 * kPage, 10 * kPage, kPage, dropped.note());
  const auto* const first = arena.allocate(1);
  const auto* const second = arena.allocate(kPage + 1);
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(first->bytes, kPage);
  EXPECT_EQ(second->bytes, 2 * kPage);
  EXPECT_EQ(arena.used_bytes(), 3 * kPage);
  EXPECT_EQ(arena.allocate(8 * kPage), nullptr);
  EXPECT_NE(arena.allocate(7 * kPage), nullptr);
  EXPECT_EQ(arena.allocate(1), nullptr);
}

TEST(ShmArena, RefusesWhatIsTooLarge) {
  Dropped dropped;
  ShmArena arena(10 * kPage, 0, kPage, dropped.note());
  for (const std::size_t bytes : {11 * kPage, ~std::size_t{0}, std::size_t{1} << 63, ~std::size_t{0} - kPage}) {
    EXPECT_EQ(arena.allocate(bytes), nullptr) << bytes;
  }
  ShmArena none(0, 0, kPage, dropped.note());
  EXPECT_EQ(none.allocate(1), nullptr);
}

TEST(ShmArena, UsesWarmPagesAgain) {
  Dropped dropped;
  ShmArena arena(100 * kPage, 20 * kPage, kPage, dropped.note());
  auto* block = arena.allocate(10 * kPage);
  const auto offset = block->offset;
  arena.free(block);
  EXPECT_EQ(arena.warm_bytes(), 10 * kPage);
  block = arena.allocate(10 * kPage);
  EXPECT_EQ(block->offset, offset);
  arena.free(block);
  block = arena.allocate(4 * kPage);
  EXPECT_EQ(block->offset, offset);
  EXPECT_EQ(arena.warm_bytes(), 6 * kPage);
  EXPECT_TRUE(dropped.ranges.empty());
}

TEST(ShmArena, DropsWhatIsNotKept) {
  Dropped dropped;
  ShmArena arena(100 * kPage, 20 * kPage, kPage, dropped.note());
  auto* const large = arena.allocate(30 * kPage);
  auto* const small = arena.allocate(15 * kPage);
  auto* const other = arena.allocate(15 * kPage);
  const auto offset = large->offset;
  arena.free(large);
  ASSERT_EQ(dropped.ranges.size(), 1U);
  EXPECT_EQ(dropped.ranges[0], std::pair(offset, 30 * kPage));
  arena.free(small);
  EXPECT_EQ(arena.warm_bytes(), 15 * kPage);
  arena.free(other);
  EXPECT_EQ(dropped.ranges.size(), 2U);
  EXPECT_LE(arena.warm_bytes(), 20 * kPage);
  EXPECT_EQ(arena.used_bytes(), 0U);
}

TEST(ShmArena, PutsWarmAndColdTogetherWhenItMust) {
  Dropped dropped;
  ShmArena arena(100 * kPage, 100 * kPage, kPage, dropped.note());
  arena.free(arena.allocate(50 * kPage));
  auto* const all = arena.allocate(100 * kPage);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(all->bytes, 100 * kPage);
  EXPECT_EQ(dropped.ranges.size(), 1U);
  arena.free(all);
}

TEST(ShmArena, KeepsBytesWhenItIsRetired) {
  Dropped dropped;
  ShmArena arena(100 * kPage, 0, kPage, dropped.note());
  auto* const block = arena.allocate(kPage);
  arena.retire();
  arena.free(block);
  EXPECT_TRUE(dropped.ranges.empty());
  EXPECT_EQ(arena.allocate(kPage), nullptr);
}

// Blocks never overlap, and in the end everything is there again.
TEST(ShmArena, KeepsItsBooksUnderRandomUse) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    Dropped dropped;
    const std::size_t pages = 1000;
    ShmArena arena(pages * kPage, (seed % 4) * 100 * kPage, kPage, dropped.note());
    std::map<std::size_t, ShmArena::Block*> used;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 2 == 0 || used.empty()) {
        auto* const block = arena.allocate(1 + random() % (kPage << (random() % 8)));
        if (block == nullptr) continue;
        const auto above = used.lower_bound(block->offset);
        ASSERT_TRUE(above == used.end() || block->offset + block->bytes <= above->first);
        ASSERT_TRUE(above == used.begin() ||
                    std::prev(above)->first + std::prev(above)->second->bytes <= block->offset);
        ASSERT_LE(block->offset + block->bytes, pages * kPage);
        used.emplace(block->offset, block);
      } else {
        const auto victim = std::next(used.begin(), static_cast<std::ptrdiff_t>(random() % used.size()));
        dropped.ranges.clear();
        arena.free(victim->second);
        used.erase(victim);
        for (const auto& [offset, bytes] : dropped.ranges) {
          const auto above = used.lower_bound(offset);
          ASSERT_TRUE(above == used.end() || offset + bytes <= above->first) << "pages in use were dropped";
        }
      }
      ASSERT_LE(arena.warm_bytes(), (seed % 4) * 100 * kPage);
    }
    for (const auto& [offset, block] : used) arena.free(block);
    EXPECT_EQ(arena.used_bytes(), 0U);
    auto* const all = arena.allocate(pages * kPage);
    ASSERT_NE(all, nullptr) << "seed " << seed;
    arena.free(all);
  }
}

}  // namespace
}  // namespace splitnet::detail
