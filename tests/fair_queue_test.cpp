// SPDX-License-Identifier: Apache-2.0
#include "fair_queue.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace splitnet::detail {
namespace {

using Queue = FairQueue<std::string>;

Queue queue_of(const std::vector<std::string>& jobs) {
  Queue queue;
  for (const std::string& job : jobs) queue.push(job.substr(0, 1), job);  // "a1": the first job of client a.
  return queue;
}

std::vector<std::string> all_of(Queue queue) {
  std::vector<std::string> jobs;
  while (!queue.empty()) jobs.push_back(queue.pop());
  return jobs;
}

using Jobs = std::vector<std::string>;

TEST(FairQueue, ClientsTakeTurns) {
  EXPECT_EQ(all_of(queue_of({"a1", "a2", "a3", "b1", "b2", "c1"})), (Jobs{"a1", "b1", "c1", "a2", "b2", "a3"}));
}

TEST(FairQueue, WhoComesLateWaitsForOneJobOfEachOtherClient) {
  Queue queue = queue_of({"a1", "a2", "a3", "a4"});
  EXPECT_EQ(queue.pop(), "a1");
  queue.push("b", "b1");
  EXPECT_EQ(queue.ahead_of_next("c"), 2U);
  EXPECT_EQ(queue.ahead_of_next("a"), 4U);
  EXPECT_EQ(all_of(std::move(queue)), (Jobs{"a2", "b1", "a3", "a4"}));
}

TEST(FairQueue, NobodyGainsByComingBack) {
  Queue queue = queue_of({"a1", "b1", "c1"});
  EXPECT_EQ(queue.pop(), "a1");
  queue.push("a", "a2");
  EXPECT_EQ(all_of(std::move(queue)), (Jobs{"b1", "c1", "a2"}));
}

TEST(FairQueue, GivesUpTheNewestOfTheLongestBacklog) {
  Queue queue = queue_of({"a1", "b1", "b2", "b3", "c1"});
  EXPECT_EQ(queue.pop_newest_of_longest(4), std::nullopt);
  EXPECT_EQ(queue.pop_newest_of_longest(3), "b3");
  EXPECT_EQ(queue.backlog("b"), 2U);
  EXPECT_EQ(all_of(std::move(queue)), (Jobs{"a1", "b1", "c1", "b2"}));
  EXPECT_EQ(Queue().pop_newest_of_longest(0), std::nullopt);
  queue = queue_of({"a1"});
  EXPECT_EQ(queue.pop_newest_of_longest(1), "a1");
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.backlog("a"), 0U);
}

TEST(FairQueue, TakesJobsOutOfTurnAndCountsItAsTheTurn) {
  Queue queue = queue_of({"a1", "a2", "b1", "b2", "c1"});
  const auto is_second = [](const std::string& job) { return job[1] == '2'; };
  EXPECT_EQ(queue.pop_if(is_second), "a2");
  EXPECT_EQ(queue.pop_if(is_second), "b2");
  EXPECT_EQ(queue.pop_if(is_second), std::nullopt);
  EXPECT_EQ(queue.size(), 3U);
  EXPECT_EQ(all_of(std::move(queue)), (Jobs{"c1", "a1", "b1"}));
}

TEST(FairQueue, SweepsWhatIsUnwanted) {
  Queue queue = queue_of({"a1", "a2", "b1", "c1", "c2"});
  std::vector<std::string> taken;
  queue.take_if([](const std::string& job) { return job != "a2" && job != "c1"; }, taken);
  EXPECT_EQ(taken, (Jobs{"a1", "b1", "c2"}));
  EXPECT_EQ(queue.size(), 2U);
  queue.push("b", "b9");
  EXPECT_EQ(all_of(std::move(queue)), (Jobs{"a2", "c1", "b9"}));
}

}  // namespace
}  // namespace splitnet::detail
