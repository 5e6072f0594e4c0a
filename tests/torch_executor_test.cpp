// SPDX-License-Identifier: Apache-2.0
#include "torch_executor.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <barrier>
#include <chrono>
#include <future>
#include <set>
#include <stdexcept>
#include <thread>

namespace splitnet::detail {
namespace {

int count_of_new_thread() {
  int count = 0;
  std::thread([&] { count = at::get_num_threads(); }).join();
  return count;
}

TEST(TorchExecutor, WorkHasItsOwnThreadCount) {
  for (const int threads : {1, 2, 3, 7}) {
    int seen = 0;
    TorchExecutor::with_threads(threads)->run([&] { seen = at::get_num_threads(); });
    EXPECT_EQ(seen, threads);
  }
}

TEST(TorchExecutor, TheHostsSettingStays) {
  at::set_num_threads(2);
  for (const int threads : {1, 3}) {
    const auto executor = TorchExecutor::with_threads(threads);
    executor->run([] {});
    EXPECT_EQ(at::get_num_threads(), 2);
    EXPECT_EQ(count_of_new_thread(), 2);
  }
}

TEST(TorchExecutor, ALaterChangeOfTheHostsSettingDoesNotReachOurThreads) {
  at::set_num_threads(2);
  const auto executor = TorchExecutor::with_threads(3);
  executor->run([] {});
  at::set_num_threads(1);
  int seen = 0;
  executor->run([&] { seen = at::get_num_threads(); });
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(at::get_num_threads(), 1);
  at::set_num_threads(2);
}

TEST(TorchExecutor, RunsElsewhereAndReusesItsThread) {
  const auto executor = TorchExecutor::with_threads(1);
  std::set<std::thread::id> ids;
  for (int i = 0; i < 5; ++i) executor->run([&] { ids.insert(std::this_thread::get_id()); });
  EXPECT_EQ(ids.size(), 1U);
  EXPECT_EQ(ids.count(std::this_thread::get_id()), 0U);
}

TEST(TorchExecutor, StagesWithOneCountShareAnExecutor) {
  const auto one = TorchExecutor::with_threads(1);
  EXPECT_EQ(one, TorchExecutor::with_threads(1));
  EXPECT_NE(one, TorchExecutor::with_threads(2));
}

TEST(TorchExecutor, WhatWorkThrowsArrivesAndTheThreadGoesOn) {
  const auto executor = TorchExecutor::with_threads(1);
  EXPECT_THROW(executor->run([] { throw std::runtime_error("mishap"); }), std::runtime_error);
  bool ran = false;
  executor->run([&] { ran = true; });
  EXPECT_TRUE(ran);
}

TEST(TorchExecutor, PassesAtTheSameTimeDoNotWaitForEachOther) {
  const auto executor = TorchExecutor::with_threads(1);
  std::barrier meeting(3);
  std::vector<std::future<void>> passes;
  for (int i = 0; i < 3; ++i) {
    passes.push_back(std::async(std::launch::async, [&] { executor->run([&] { meeting.arrive_and_wait(); }); }));
  }
  for (auto& pass : passes) ASSERT_EQ(pass.wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

}  // namespace
}  // namespace splitnet::detail
