// SPDX-License-Identifier: Apache-2.0
#include "splitnet/stage_cache.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

class SizedStage : public Stage {
 public:
  explicit SizedStage(std::int64_t parameter_bytes) { info_.parameter_bytes = parameter_bytes; }
  const StageInfo& info() const noexcept override { return info_; }
  std::vector<Value> run(std::vector<Value> inputs) const override { return inputs; }
  void save(const std::string& /*path*/) const override {}

 private:
  StageInfo info_;
};

StageCache::Key key(std::size_t index) {
  return {"model", {{}, index}};
}

StageCache::Make sized(std::int64_t bytes) {
  return [bytes] { return std::make_unique<SizedStage>(bytes); };
}

const StageCache::Make never = []() -> std::unique_ptr<Stage> { throw std::logic_error("made again"); };

TEST(StageCache, GivesTheSameStageAgain) {
  StageCache cache;
  const auto first = cache.get(key(1), sized(10));
  EXPECT_EQ(cache.get(key(1), never), first);
  EXPECT_EQ(cache.stats().hits, 1U);
  EXPECT_EQ(cache.stats().misses, 1U);
  EXPECT_EQ(cache.stats().parameter_bytes, 10);
}

TEST(StageCache, TellsModelsAndCutsApart) {
  StageCache cache;
  const auto stage = cache.get({"a", {{{0}}, 1}}, sized(1));
  EXPECT_NE(cache.get({"b", {{{0}}, 1}}, sized(1)), stage);
  EXPECT_NE(cache.get({"a", {{{0, 1}}, 1}}, sized(1)), stage);
  EXPECT_NE(cache.get({"a", {{{0}}, 0}}, sized(1)), stage);
  EXPECT_EQ(cache.stats().stages, 4U);
}

TEST(StageCache, DropsTheOneUsedLongestAgoWhenThereAreTooMany) {
  StageCache cache({.max_stages = 2});
  (void)cache.get(key(1), sized(1));
  const auto second = cache.get(key(2), sized(1));
  (void)cache.get(key(1), never);
  (void)cache.get(key(3), sized(1));
  (void)cache.get(key(1), never);
  EXPECT_EQ(cache.stats().evictions, 1U);
  EXPECT_NE(cache.get(key(2), sized(1)), second) << "the second was not dropped";
  EXPECT_EQ(second->info().parameter_bytes, 1) << "a dropped stage lives on with its user";
}

TEST(StageCache, HoldsTheBoundOnParameterBytes) {
  StageCache cache({.max_stages = 10, .max_parameter_bytes = 100});
  for (std::size_t i = 0; i < 5; ++i) (void)cache.get(key(i), sized(40));
  EXPECT_EQ(cache.stats().stages, 2U);
  EXPECT_EQ(cache.stats().parameter_bytes, 80);
  (void)cache.get(key(4), never);
  (void)cache.get(key(3), never);
}

TEST(StageCache, DoesNotKeepWhatIsTooLargeAloneNorDropOthersForIt) {
  StageCache cache({.max_stages = 10, .max_parameter_bytes = 100});
  (void)cache.get(key(1), sized(60));
  EXPECT_EQ(cache.get(key(2), sized(101))->info().parameter_bytes, 101);
  EXPECT_EQ(cache.stats().stages, 1U);
  (void)cache.get(key(1), never);
}

TEST(StageCache, KeepsNothingWithABoundOfZero) {
  StageCache cache({.max_stages = 0});
  (void)cache.get(key(1), sized(0));
  EXPECT_EQ(cache.stats().stages, 0U);
}

TEST(StageCache, MakesAStageOnceForAllWhoAskAtTheSameTime) {
  StageCache cache;
  testing::Gate gate;
  std::atomic<int> made = 0;
  const auto make = [&]() -> std::unique_ptr<Stage> {
    ++made;
    gate.pass();
    return std::make_unique<SizedStage>(1);
  };
  std::vector<std::shared_ptr<const Stage>> got(4);
  std::vector<std::thread> threads;
  for (auto& stage : got) threads.emplace_back([&] { stage = cache.get(key(1), make); });
  while (cache.stats().hits < 3) std::this_thread::yield();
  gate.open();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  for (const auto& stage : got) EXPECT_EQ(stage, got.front());
}

TEST(StageCache, GivesAFailureToAllWhoWaitAndTriesAgainLater) {
  StageCache cache;
  testing::Gate gate;
  const auto fail = [&]() -> std::unique_ptr<Stage> {
    gate.pass();
    throw Error(ErrorCode::unsupported_model, "refused");
  };
  std::atomic<int> refused = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      try {
        (void)cache.get(key(1), fail);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::unsupported_model && std::string(error.what()) == "refused") ++refused;
      }
    });
  }
  while (cache.stats().hits < 2) std::this_thread::yield();
  gate.open();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(refused, 3);
  EXPECT_NE(cache.get(key(1), sized(1)), nullptr);
}

TEST(StageCache, TurnsOtherExceptionsIntoInternalErrors) {
  StageCache cache;
  for (const StageCache::Make& make :
       {StageCache::Make([]() -> std::unique_ptr<Stage> { throw std::runtime_error("x"); }),
        StageCache::Make([]() -> std::unique_ptr<Stage> { throw 7; }),
        StageCache::Make([]() -> std::unique_ptr<Stage> { return nullptr; })}) {
    try {
      (void)cache.get(key(1), make);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::internal);
    }
  }
}

TEST(StageCache, ForgetsEverythingWhenCleared) {
  StageCache cache;
  (void)cache.get(key(1), sized(5));
  cache.clear();
  EXPECT_EQ(cache.stats().stages, 0U);
  EXPECT_EQ(cache.stats().parameter_bytes, 0);
  (void)cache.get(key(1), sized(5));
  EXPECT_EQ(cache.stats().misses, 2U);
}

TEST(StageCache, DropsAModel) {
  StageCache cache;
  (void)cache.get({"other", {}}, sized(7));
  (void)cache.get(key(1), sized(5));
  (void)cache.get(key(2), sized(5));
  cache.drop("model");
  cache.drop("nobody");
  EXPECT_EQ(cache.stats().stages, 1U);
  EXPECT_EQ(cache.stats().parameter_bytes, 7);
  EXPECT_EQ(cache.stats().evictions, 0U);
  (void)cache.get({"other", {}}, never);
}

TEST(StageCache, SaysThatThereIsNoMemory) {
  StageCache cache;
  const auto make = []() -> std::unique_ptr<Stage> { throw std::bad_alloc(); };
  EXPECT_EQ(testing::thrown_code([&] { (void)cache.get(key(1), make); }), ErrorCode::overloaded);
}

TEST(StageCache, StaysWithinItsBoundUnderManyThreads) {
  StageCache cache({.max_stages = 3});
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (unsigned i = 0; i < 500; ++i) {
        (void)cache.get(key((i * (t + 1)) % 7), sized(1));
        EXPECT_LE(cache.stats().stages, 3U);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace splitnet
