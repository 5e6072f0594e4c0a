// SPDX-License-Identifier: Apache-2.0
// What a session does when its workers are lost, silent or full.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::error_of;
using testing::Gate;
using testing::Hooks;
using testing::throws;
using ModelPtr = std::shared_ptr<const Model>;

constexpr const char* loopback = "tcp://127.0.0.1:0";

class SessionFaultTest : public ::testing::Test {
 protected:
  void TearDown() override { gate_.open(); }
  std::string serve(ModelPtr model, WorkerOptions options = {}, const std::string& endpoint = loopback) {
    workers_.push_back(Worker::create(std::move(options)));
    workers_.back()->add_model("net", std::move(model));
    return workers_.back()->serve(registry_, endpoint);
  }
  /// A worker of which every pass waits at the gate.
  std::string serve_behind_gate() {
    return serve(
        std::make_shared<testing::HookedModel>(model_, Hooks{.on_run = [this](const StageInfo&) { gate_.pass(); }}));
  }
  static SessionOptions options(std::string worker, std::size_t last = 4) {
    SessionOptions result;
    result.worker = std::move(worker);
    result.cut = Cut::after_index(last);
    return result;
  }
  void expect_right(int seed, const Answer& answer) const {
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*model_, seed))) << "of input " << seed;
  }

  const ModelPtr model_ = testing::chain_model();
  TransportRegistry registry_ = testing::all_transports();
  Gate gate_;  // Outlives the workers, whose passes may still stand in it.
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(SessionFaultTest, TheDeviceFinishesWhatAWorkerThatIsGoneCannot) {
  const auto session = Session::open(model_, options(serve(model_)));
  EXPECT_FALSE(session->run(testing::inputs_of(1)).answered_by.empty());
  workers_.clear();
  for (int seed = 2; seed < 10; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    expect_right(seed, answer);
    EXPECT_TRUE(answer.answered_by.empty());
    EXPECT_GT(answer.times.rest_s, 0);
  }
  const SessionStats stats = session->stats();
  EXPECT_EQ(stats.answered, 9U);
  EXPECT_EQ(stats.finished_here, 8U);
  EXPECT_EQ(stats.failed, 0U);
}

TEST_F(SessionFaultTest, WhatTheDeviceFinishesIsWhatThePlanGives) {
  for (const auto* const codec : {"f16", "int8:per=channel", "int4:lossless=zstd"}) {
    auto coded = options(serve(model_));
    coded.codec = codec;
    const auto session = Session::open(model_, coded);
    const Answer there = session->run(testing::inputs_of(1));
    workers_.clear();
    const Answer here = session->run(testing::inputs_of(1));
    EXPECT_TRUE(here.answered_by.empty());
    EXPECT_TRUE(bit_identical(here.output, there.output)) << codec;
    EXPECT_FALSE(bit_identical(here.output, testing::uncut(*model_, 1))) << codec;
  }
}

TEST_F(SessionFaultTest, TheDeviceAsksItselfOnceMoreWhereTheAnswerIsClose) {
  const std::string address = serve(model_);
  auto refined = options(address);
  refined.refinement = Refinement{"int2", "int8", 1e9};  // All are too close.
  const auto session = Session::open(model_, refined);
  const Answer there = session->run(testing::inputs_of(1));
  workers_.clear();
  const Answer here = session->run(testing::inputs_of(1));
  EXPECT_TRUE(here.refined);
  EXPECT_TRUE(here.answered_by.empty());
  EXPECT_TRUE(bit_identical(here.output, there.output));
}

TEST_F(SessionFaultTest, TheDeviceFinishesFromAnyOfSeveralWorkers) {
  for (const std::size_t lost : {std::size_t{0}, std::size_t{1}}) {
    SessionOptions three;
    three.workers = {serve(model_), serve(model_)};
    three.cuts = {Cut::after_index(0), Cut::after_index(4)};
    const auto session = Session::open(model_, three);
    expect_right(1, session->run(testing::inputs_of(1)));
    workers_[lost]->close();
    const Answer answer = session->run(testing::inputs_of(2));
    expect_right(2, answer);
    EXPECT_TRUE(answer.answered_by.empty());
    EXPECT_EQ(answer.times.hops.size(), lost + 1);
    workers_.clear();
  }
}

TEST_F(SessionFaultTest, TurnsToASpareWorker) {
  auto two = options(serve(model_));
  two.spare_workers = {serve(model_)};
  const auto session = Session::open(model_, two);
  EXPECT_EQ(session->run(testing::inputs_of(1)).answered_by, two.worker);
  workers_.front()->close();
  for (int seed = 2; seed < 6; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    expect_right(seed, answer);
    EXPECT_EQ(answer.answered_by, two.spare_workers.front());
  }
  EXPECT_EQ(session->stats().finished_here, 0U);
}

/// FAULTS 29: the worker is stopped past the deadline, and its late answer is dropped.
TEST_F(SessionFaultTest, TheDeviceBeginsInTimeForTheDeadline) {
  auto hasty = options(serve_behind_gate());
  hasty.deadline = 2s;
  const auto session = Session::open(model_, hasty);
  std::atomic<int> told = 0;
  std::promise<Answer> promise;
  session->submit(testing::inputs_of(1), [&](std::variant<Answer, Error> outcome) {
    ++told;
    if (auto* answer = std::get_if<Answer>(&outcome)) {
      promise.set_value(std::move(*answer));
    } else {
      promise.set_exception(std::make_exception_ptr(std::get<Error>(outcome)));
    }
  });
  const Answer answer = promise.get_future().get();
  EXPECT_LE(answer.times.total_s, 2);
  expect_right(1, answer);
  EXPECT_TRUE(answer.hedged);
  EXPECT_TRUE(answer.answered_by.empty());
  EXPECT_GT(answer.times.device_wait_s, 0.5) << "not earlier than it has to";
  gate_.open();
  expect_right(2, session->run(testing::inputs_of(2)));
  session->close();
  EXPECT_EQ(told, 1);
}

TEST_F(SessionFaultTest, ALateAnswerIsCountedAndDropped) {
  auto hasty = options(serve_behind_gate());
  const auto session = Session::open(model_, hasty);
  const Answer answer = session->run(testing::inputs_of(1), {.deadline = 2s});
  expect_right(1, answer);
  // Its deadline has passed by now, or the answer comes late: either way nobody is told twice.
  gate_.open();
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (session->stats().late_replies + session->stats().failed_requests == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_EQ(session->stats().answered, 1U);
}

TEST_F(SessionFaultTest, AWorkerThatFailedIsNotAskedByEverybody) {
  auto patient = options(serve(model_));
  patient.connect.reconnect.first_pause = 1h;
  patient.connect.reconnect.longest_pause = 1h;
  const auto session = Session::open(model_, patient);
  workers_.clear();
  for (int seed = 1; seed <= 50; ++seed) expect_right(seed, session->run(testing::inputs_of(seed)));
  EXPECT_LE(session->stats().requests, 2U);
  EXPECT_EQ(session->stats().finished_here, 50U);
}

TEST_F(SessionFaultTest, GoesBackToAWorkerThatHasReturned) {
  const std::string address = serve(model_);
  const auto session = Session::open(model_, options(address));
  EXPECT_EQ(session->run(testing::inputs_of(1)).answered_by, address);
  workers_.clear();
  EXPECT_EQ(session->run(testing::inputs_of(2)).answered_by, "");
  ASSERT_EQ(serve(model_, {}, address), address);
  const auto until = std::chrono::steady_clock::now() + 20s;
  for (int seed = 3; session->run(testing::inputs_of(seed)).answered_by != address; ++seed) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::sleep_for(5ms);
  }
}

TEST_F(SessionFaultTest, WaitsForTheOnlyOneWhoCan) {
  const std::string address = serve(model_);
  auto remote = options(address);
  remote.finish_on_device = false;
  const auto session = Session::open(model_, remote);
  workers_.clear();
  auto answer = session->submit(testing::inputs_of(1), {.deadline = 30s});
  std::this_thread::sleep_for(100ms);
  ASSERT_EQ(serve(model_, {}, address), address);
  expect_right(1, answer.get());
  workers_.clear();
  EXPECT_TRUE(throws(ErrorCode::unavailable, address, [&] { (void)session->run(testing::inputs_of(1)); }))
      << "without a deadline it does not wait for ever";
}

/// FAULTS 36: however many requests fail, second attempts are few.
TEST_F(SessionFaultTest, RetriesAreThrottled) {
  auto two = options(serve(model_));
  two.connect.reconnect.first_pause = 1ns;  // Every one of them may be asked at once.
  two.connect.reconnect.longest_pause = 1ns;
  two.max_retries = 10;
  const auto session = Session::open(model_, two);
  workers_.clear();
  constexpr int count = 300;
  for (int seed = 0; seed < count; ++seed) expect_right(seed, session->run(testing::inputs_of(seed)));
  EXPECT_GT(session->stats().retries, 0U);
  EXPECT_LE(session->stats().retries, 10U + count / 10);
}

TEST_F(SessionFaultTest, TheDeviceDecidesWhetherARequestWasWrong) {
  const Hooks refuses{.on_run = [](const StageInfo&) { throw Error(ErrorCode::invalid_argument, "no such shape"); }};
  const std::string address = serve(std::make_shared<testing::HookedModel>(model_, refuses));
  const auto session = Session::open(model_, options(address));
  for (int seed = 0; seed < 5; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    expect_right(seed, answer);
    EXPECT_EQ(answer.requests, 1U);
  }
  EXPECT_EQ(session->stats().requests, 5U) << "the worker is there, and is asked each time";
  auto strict = options(address);
  strict.finish_on_device = false;
  const auto alone = Session::open(model_, strict);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "no such shape", [&] { (void)alone->run(testing::inputs_of(1)); }));
  EXPECT_EQ(alone->stats().requests, 1U);
}

TEST_F(SessionFaultTest, AWorkerThatGivesUpEarlyLeavesTimeForTheDevice) {
  const Hooks hopeless{.on_run = [](const StageInfo&) { throw Error(ErrorCode::deadline_exceeded, "it is hopeless"); }};
  const auto session = Session::open(model_, options(serve(std::make_shared<testing::HookedModel>(model_, hopeless))));
  const Answer answer = session->run(testing::inputs_of(1), {.deadline = 1min});
  expect_right(1, answer);
  EXPECT_TRUE(answer.answered_by.empty());
  EXPECT_GT(answer.times.device_wait_s, 0);
  EXPECT_LT(answer.times.total_s, 30);
}

/// A worker asks for pauses that nobody can wait for, or that no clock can count.
TEST_F(SessionFaultTest, WaitsNoLongerThanTheCallerDoes) {
  for (const double hint_s : {50.0, 3e9, 1e300}) {
    const Hooks busy{.on_run = [=](const StageInfo&) { throw Error(ErrorCode::overloaded, "busy", hint_s); }};
    auto patient = options(serve(std::make_shared<testing::HookedModel>(model_, busy)));
    patient.finish_on_device = false;
    const auto session = Session::open(model_, patient);
    EXPECT_TRUE(throws(ErrorCode::deadline_exceeded, "",
                       [&] { (void)session->run(testing::inputs_of(1), {.deadline = 200ms}); }));
    std::stop_source stop;
    auto answer = session->submit(testing::inputs_of(1), {.deadline = 1h, .stop = stop.get_token()});
    std::this_thread::sleep_for(20ms);  // Time for it to be there; it ends no matter where it is.
    stop.request_stop();
    ASSERT_EQ(answer.wait_for(20s), std::future_status::ready);
    EXPECT_TRUE(throws(ErrorCode::cancelled, "", [&] { (void)answer.get(); }));
  }
}

/// One after the other, by a deadline that all share: it begins early enough for the last of them.
TEST_F(SessionFaultTest, TheDeviceBeginsInTimeForAllThatAreDue) {
  const Hooks slow{.on_run = [](const StageInfo&) { std::this_thread::sleep_for(100ms); }};
  const auto device = std::make_shared<testing::HookedModel>(model_, slow);
  const auto session = Session::open(device, options(serve_behind_gate()));
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 8; ++seed) {
    answers.push_back(session->submit(testing::inputs_of(seed), {.deadline = 5s}));  // Heads take 0.8 s of it.
  }
  for (int seed = 0; seed < 8; ++seed) {
    const Answer answer = answers[static_cast<std::size_t>(seed)].get();
    expect_right(seed, answer);
    EXPECT_TRUE(answer.answered_by.empty());
  }
}

TEST_F(SessionFaultTest, TellsTheDevicesErrorWhenItIsTheLast) {
  std::atomic<bool> broken = false;
  const auto device =
      std::make_shared<testing::HookedModel>(model_, Hooks{.on_run = [&](const StageInfo& info) {
                                               if (broken && info.index == 1)
                                                 throw Error(ErrorCode::internal, "the device is broken");
                                             }});
  const auto session = Session::open(device, options(serve_behind_gate()));
  broken = true;
  auto answer = session->submit(testing::inputs_of(1), {.deadline = 1s});
  EXPECT_TRUE(throws(ErrorCode::deadline_exceeded, "", [&] { (void)answer.get(); }));
  gate_.open();
  workers_.clear();
  EXPECT_TRUE(throws(ErrorCode::internal, "the device is broken", [&] { (void)session->run(testing::inputs_of(1)); }));
}

TEST_F(SessionFaultTest, CanBeCancelledWhileTheDeviceWaits) {
  const auto session = Session::open(model_, options(serve_behind_gate()));
  std::stop_source stop;
  auto answer = session->submit(testing::inputs_of(1), {.deadline = 1min, .stop = stop.get_token()});
  gate_.wait_for(1);
  stop.request_stop();
  EXPECT_TRUE(throws(ErrorCode::cancelled, "", [&] { (void)answer.get(); }));
}

TEST_F(SessionFaultTest, ManyInFlightAreAllAnsweredWhenTheWorkerGoes) {
  auto many = options(serve(model_));
  many.max_in_flight = 16;
  const auto session = Session::open(model_, many);
  std::vector<std::future<Answer>> answers;
  for (int seed = 0; seed < 200; ++seed) {
    answers.push_back(session->submit(testing::inputs_of(seed)));
    if (seed == 100) workers_.clear();
  }
  for (int seed = 0; seed < 200; ++seed) expect_right(seed, answers[static_cast<std::size_t>(seed)].get());
  EXPECT_EQ(session->stats().answered, 200U);
}

TEST_F(SessionFaultTest, TellsAnswersAsTheyCome) {
  const auto session = Session::open(model_, options(serve(model_)));
  constexpr int count = 50;
  std::vector<std::promise<Answer>> promises(count);
  for (int seed = 0; seed < count; ++seed) {
    session->submit(testing::inputs_of(seed),
                    [&promise = promises[static_cast<std::size_t>(seed)]](std::variant<Answer, Error> outcome) {
                      promise.set_value(std::get<Answer>(std::move(outcome)));
                    });
  }
  for (int seed = 0; seed < count; ++seed)
    expect_right(seed, promises[static_cast<std::size_t>(seed)].get_future().get());
  session->close();
  std::optional<Error> error;
  session->submit(testing::inputs_of(1),
                  [&](std::variant<Answer, Error> outcome) { error = std::get<Error>(outcome); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::cancelled);
}

TEST_F(SessionFaultTest, TurnsToASpareWorkerAlsoFromOneThatIsThere) {
  for (const ErrorCode code : {ErrorCode::internal, ErrorCode::incompatible, ErrorCode::too_large}) {
    const Hooks unable{.on_run = [=](const StageInfo&) { throw Error(code, "not by this one"); }};
    auto two = options(serve(std::make_shared<testing::HookedModel>(model_, unable)));
    two.spare_workers = {serve(model_)};
    two.finish_on_device = false;
    const auto session = Session::open(model_, two);
    const Answer answer = session->run(testing::inputs_of(1));
    expect_right(1, answer);
    EXPECT_EQ(answer.answered_by, two.spare_workers.front());
    EXPECT_EQ(answer.requests, 2U);
  }
}

/// Of each inference, not of each of its hops.
TEST_F(SessionFaultTest, TheLastOfManyHopsIsRetriedToo) {
  std::atomic<int> failures = 1;
  const Hooks shaky{.on_run = [&](const StageInfo& info) {
    if (info.index == 3 && failures-- > 0) throw Error(ErrorCode::internal, "this time not");
  }};
  const auto served = std::make_shared<testing::HookedModel>(model_, shaky);
  SessionOptions four;
  four.workers = {serve(served), serve(served), serve(served)};
  four.cuts = {Cut::after_index(0), Cut::after_index(2), Cut::after_index(4)};
  four.finish_on_device = false;
  four.max_retries = 1;
  const Answer answer = Session::open(model_, four)->run(testing::inputs_of(1));
  expect_right(1, answer);
  EXPECT_EQ(answer.requests, 4U);
}

/// A request that is the end of whoever takes it must not come again until its deadline.
TEST_F(SessionFaultTest, AFaultOfTheWorkerIsNotWaitedOut) {
  std::atomic<int> runs = 0;
  const Hooks broken{.on_run = [&](const StageInfo&) {
    ++runs;
    throw Error(ErrorCode::internal, "never");
  }};
  auto remote = options(serve(std::make_shared<testing::HookedModel>(model_, broken)));
  remote.finish_on_device = false;
  remote.max_retries = 1;
  remote.deadline = 5min;
  EXPECT_TRUE(
      throws(ErrorCode::internal, "never", [&] { (void)Session::open(model_, remote)->run(testing::inputs_of(1)); }));
  EXPECT_EQ(runs, 2);
}

TEST_F(SessionFaultTest, SparesAreForAWorker) {
  SessionOptions nobody;
  nobody.spare_workers = {"tcp://127.0.0.1:1"};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "spare_workers", [&] { (void)Session::open(model_, nobody); }));
}

}  // namespace
}  // namespace splitnet
