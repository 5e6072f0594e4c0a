// SPDX-License-Identifier: Apache-2.0
#include "work_queue.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace splitnet::detail {
namespace {

using namespace std::chrono_literals;
using Clock = WorkQueue::Clock;

JobPtr job_of(const std::string& client, std::size_t bytes = 0, Deadline deadline = {}) {
  auto job = std::make_shared<Job>();
  job->client = client;
  job->model_name = client;
  job->bytes = bytes;
  job->context.deadline = deadline;
  return job;
}

/// The code of the refusal, or nothing.
std::optional<ErrorCode> pushed(WorkQueue& queue, const JobPtr& job, std::vector<WorkQueue::Dropped>* dropped = {}) {
  std::vector<WorkQueue::Dropped> unseen;
  const auto refused = queue.push(job, dropped == nullptr ? unseen : *dropped);
  EXPECT_TRUE(unseen.empty());
  return refused ? std::optional(refused->code()) : std::nullopt;
}

TEST(ClientOf, IsTheConnectionOrTheAddressOfAnHttpCaller) {
  EXPECT_EQ(client_of("tcp://10.0.0.1:4000"), "tcp://10.0.0.1:4000");
  EXPECT_EQ(client_of("unix:process 7"), "unix:process 7");
  EXPECT_EQ(client_of("http://10.0.0.1:4000"), "http://10.0.0.1");
  EXPECT_EQ(client_of("https://[::1]:4000"), "https://[::1]");
}

TEST(WorkQueue, ServesClientsInTurn) {
  WorkQueue queue({.max_requests = 10, .max_bytes = 10});
  for (const char* client : {"hog", "hog", "hog", "friend"}) EXPECT_EQ(pushed(queue, job_of(client)), std::nullopt);
  std::string order;
  for (int i = 0; i < 4; ++i) order += queue.pop()->client + " ";
  EXPECT_EQ(order, "hog friend hog hog ");
}

TEST(WorkQueue, AFullQueueTakesThePlaceFromTheLongestBacklog) {
  WorkQueue queue({.max_requests = 3, .max_bytes = 10});
  const auto newest = job_of("hog");
  for (const auto& job : {job_of("hog"), job_of("hog"), newest}) EXPECT_EQ(pushed(queue, job), std::nullopt);
  EXPECT_EQ(pushed(queue, job_of("hog")), ErrorCode::overloaded) << "itself has the longest backlog";
  std::vector<WorkQueue::Dropped> dropped;
  EXPECT_EQ(pushed(queue, job_of("friend"), &dropped), std::nullopt);
  ASSERT_EQ(dropped.size(), 1U);
  EXPECT_EQ(dropped[0].job, newest);
  EXPECT_EQ(dropped[0].error.code(), ErrorCode::overloaded);
  EXPECT_EQ(pushed(queue, job_of("friend")), ErrorCode::overloaded) << "that would only turn the tables";
  EXPECT_EQ(pushed(queue, job_of("third"), &dropped), std::nullopt);
  EXPECT_EQ(pushed(queue, job_of("fourth")), ErrorCode::overloaded) << "all have one now";
  EXPECT_EQ(queue.counts().queued, 3U);
}

TEST(WorkQueue, BytesAreTakenFromTheLongestBacklogToo) {
  WorkQueue queue({.max_requests = 10, .max_bytes = 10});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pushed(queue, job_of("hog", 3)), std::nullopt);
  EXPECT_EQ(pushed(queue, job_of("friend", 8)), ErrorCode::overloaded) << "giving up two would not do";
  EXPECT_EQ(queue.counts().queued, 3U);
  std::vector<WorkQueue::Dropped> dropped;
  EXPECT_EQ(pushed(queue, job_of("friend", 6), &dropped), std::nullopt);
  EXPECT_EQ(dropped.size(), 2U);
  dropped.clear();
  EXPECT_EQ(pushed(queue, job_of("friend", 2)), ErrorCode::overloaded);
  EXPECT_EQ(pushed(queue, job_of("friend", 1)), std::nullopt);
  EXPECT_EQ(pushed(queue, job_of("friend", 11)), ErrorCode::too_large);
}

TEST(WorkQueue, KeepsTheBudgetUntilAJobIsGone) {
  WorkQueue queue({.max_requests = 10, .max_bytes = 10});
  EXPECT_EQ(pushed(queue, job_of("a", 6)), std::nullopt);
  JobPtr running = queue.pop();
  queue.leave();
  EXPECT_EQ(queue.counts().running, 0U);
  EXPECT_EQ(queue.counts().placed, 1U) << "somebody else computes for it";
  EXPECT_EQ(pushed(queue, job_of("b", 6)), ErrorCode::overloaded);
  EXPECT_FALSE(queue.drain(0ns));
  running.reset();
  EXPECT_TRUE(queue.drain(0ns));
  EXPECT_EQ(pushed(queue, job_of("b", 6)), ErrorCode::unavailable);
}

TEST(WorkQueue, SaysWhenToTryAgainOnceItKnowsHowLongJobsTake) {
  WorkQueue queue({.max_requests = 4, .max_bytes = 10, .threads = 2});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(pushed(queue, job_of("a")), std::nullopt);
  std::vector<WorkQueue::Dropped> dropped;
  EXPECT_EQ(queue.push(job_of("a"), dropped)->retry_after_s(), std::nullopt);
  queue.note_time(0.5);
  EXPECT_DOUBLE_EQ(queue.push(job_of("a"), dropped)->retry_after_s().value(), 4 * 0.5 / 2);
  for (int i = 0; i < 40; ++i) queue.note_time(1000);
  EXPECT_EQ(queue.overloaded("").retry_after_s(), 10);
  for (int i = 0; i < 200; ++i) queue.note_time(1e-6);
  EXPECT_EQ(queue.overloaded("").retry_after_s(), 0.01);
}

TEST(WorkQueue, RefusesWhatCouldNotBeDoneInTime) {
  WorkQueue queue({.max_requests = 100, .max_bytes = 10});
  const auto in_100_s = Clock::now() + 100s;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(pushed(queue, job_of("a", 0, in_100_s)), std::nullopt) << "nothing is known";
  queue.note_time(60);
  EXPECT_EQ(pushed(queue, job_of("a", 0, in_100_s)), ErrorCode::overloaded);
  EXPECT_EQ(pushed(queue, job_of("a", 0, Clock::now() + 1000s)), std::nullopt);
  EXPECT_EQ(pushed(queue, job_of("a")), std::nullopt) << "it has no deadline";
  EXPECT_EQ(pushed(queue, job_of("b", 0, in_100_s)), std::nullopt) << "it waits for one of the others only";
  const auto long_job = job_of("c", 0, Clock::now() + 200s);
  long_job->expected_s = 100;
  EXPECT_EQ(pushed(queue, long_job), ErrorCode::overloaded) << "it would start in time and end too late";
}

/// Else a wrong estimate would stay for ever: nothing would run that could mend it.
TEST(WorkQueue, AlwaysTakesOneWhateverItExpects) {
  WorkQueue queue({.max_requests = 100, .max_bytes = 10});
  queue.note_time(1000);
  EXPECT_EQ(pushed(queue, job_of("a")), std::nullopt);
  (void)queue.pop();
  EXPECT_EQ(pushed(queue, job_of("a", 0, Clock::now() + 100s)), std::nullopt);
  EXPECT_EQ(pushed(queue, job_of("a", 0, Clock::now() + 100s)), ErrorCode::overloaded);
}

TEST(WorkQueue, SweepsWhatNobodyWaitsForBeforeItRefuses) {
  WorkQueue queue({.max_requests = 2, .max_bytes = 10});
  std::stop_source stop;
  const auto cancelled = job_of("a", 5);
  cancelled->context.stop = stop.get_token();
  const auto late = job_of("a", 5, Clock::now() - 1ns);
  EXPECT_EQ(pushed(queue, cancelled), std::nullopt);
  EXPECT_EQ(pushed(queue, late), std::nullopt);
  stop.request_stop();
  std::vector<WorkQueue::Dropped> dropped;
  EXPECT_EQ(pushed(queue, job_of("a", 10), &dropped), std::nullopt);
  ASSERT_EQ(dropped.size(), 2U);
  EXPECT_EQ(dropped[0].error.code(), ErrorCode::cancelled);
  EXPECT_EQ(dropped[1].error.code(), ErrorCode::deadline_exceeded);
}

TEST(WorkQueue, GivesOutAJobOutOfTurn) {
  WorkQueue queue({.max_requests = 10, .max_bytes = 10});
  const auto is_b = [](const Job& job) { return job.client == "b"; };
  EXPECT_EQ(queue.pop_if(is_b, Clock::now()), nullptr);
  EXPECT_EQ(pushed(queue, job_of("b")), std::nullopt);
  EXPECT_NE(queue.pop_if(is_b, Clock::now()), nullptr);
  std::thread later([&] { EXPECT_EQ(pushed(queue, job_of("b")), std::nullopt); });
  EXPECT_NE(queue.pop_if(is_b, Clock::now() + 60s), nullptr);
  later.join();
  EXPECT_EQ(pushed(queue, job_of("a")), std::nullopt);
  EXPECT_EQ(queue.pop_if(is_b, Clock::now() + 24h), nullptr) << "there is something else to do";
}

TEST(WorkQueue, GivesBackWhatWaitsWhenItCloses) {
  WorkQueue queue({.max_requests = 10, .max_bytes = 10});
  std::thread idle([&] { EXPECT_EQ(queue.pop_if([](const Job&) { return false; }, Clock::now() + 24h), nullptr); });
  EXPECT_EQ(pushed(queue, job_of("a")), std::nullopt);
  idle.join();
  EXPECT_EQ(queue.close().size(), 1U);
  EXPECT_EQ(queue.pop(), nullptr);
  EXPECT_TRUE(queue.is_closed());
}

}  // namespace
}  // namespace splitnet::detail
