// SPDX-License-Identifier: Apache-2.0
// A worker whose model is replaced by another version while it serves.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/worker.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::thrown_code;
using testing::throws;
using ModelPtr = std::shared_ptr<const Model>;

class WorkerReload : public ::testing::Test {
 protected:
  void start(ModelPtr model, WorkerOptions options = {}) {
    worker_ = Worker::create(std::move(options));
    worker_->add_model("net", std::move(model));
    connection_ = registry_.connect(worker_->serve(registry_, "inproc://reload"));
  }
  static Message request_for(const Model& model, std::string name = "net") {
    Message message;
    message.request = {std::move(name), model.fingerprint(), {}};
    message.values = testing::inputs_of(1);
    return message;
  }
  void expect_right(const Model& model, const std::string& name = "net") {
    const Message reply = call_and_wait(*connection_, request_for(model, name));
    const auto expected = model.make_stage({})->run(testing::inputs_of(1));
    ASSERT_EQ(reply.values.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], expected[i]));
  }

  const TransportRegistry registry_ = TransportRegistry::with_defaults();
  const ModelPtr old_ = testing::chain_model();
  const ModelPtr new_ = testing::branch_model();
  Gate gate_;  // Outlives the worker.
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Connection> connection_;
};

TEST_F(WorkerReload, ServesTheNewVersionAndForAWhileTheOldOne) {
  start(old_);
  expect_right(*old_);
  EXPECT_TRUE(
      throws(ErrorCode::incompatible, old_->fingerprint(), [&] { call_and_wait(*connection_, request_for(*new_)); }));
  EXPECT_TRUE(worker_->replace_model("net", new_));
  for (const char* name : {"net", ""}) {
    expect_right(*new_, name);
    expect_right(*old_, name);
  }
  EXPECT_EQ(worker_->model_names(), std::vector<std::string>{"net"});
  EXPECT_EQ(worker_->stats().cache.stages, 2U);
}

TEST_F(WorkerReload, ForgetsTheOldVersionAndItsStagesAfterTheGrace) {
  start(old_, {.replaced_model_grace = 0ns});
  expect_right(*old_);
  while (worker_->stats().running > 0) std::this_thread::sleep_for(1ms);  // It was answered, but may not be over.
  EXPECT_TRUE(worker_->replace_model("net", new_));
  EXPECT_TRUE(
      throws(ErrorCode::incompatible, new_->fingerprint(), [&] { call_and_wait(*connection_, request_for(*old_)); }));
  EXPECT_EQ(worker_->stats().cache.stages, 0U);
  expect_right(*new_);
}

/// What a request that is still under way has cut would otherwise stay in the cache until others push it out.
TEST_F(WorkerReload, ForgetsStagesThatWereCutAfterTheGrace) {
  testing::Hooks hooks;
  hooks.on_make = [this](const StageKey&) { gate_.pass(); };
  start(std::make_shared<testing::HookedModel>(old_, std::move(hooks)), {.replaced_model_grace = 0ns});
  std::promise<CallResult> result;
  connection_->call(request_for(*old_), {}, {}, [&](CallResult got) { result.set_value(std::move(got)); });
  gate_.wait_for(1);
  EXPECT_TRUE(worker_->replace_model("net", new_));
  const auto ask_for_old = [&] { call_and_wait(*connection_, request_for(*old_)); };
  EXPECT_TRUE(throws(ErrorCode::incompatible, new_->fingerprint(), ask_for_old)) << "it is not kept for new ones";
  gate_.open();
  EXPECT_EQ(std::get<Message>(result.get_future().get()).kind, MessageKind::reply);
  EXPECT_TRUE(worker_->drain(60s));
  EXPECT_EQ(thrown_code(ask_for_old), ErrorCode::incompatible);
  EXPECT_EQ(worker_->stats().cache.stages, 0U);
}

TEST_F(WorkerReload, ChangesNothingForTheSameVersion) {
  start(old_);
  expect_right(*old_);
  EXPECT_FALSE(worker_->replace_model("net", testing::chain_model()));
  expect_right(*old_);
  EXPECT_EQ(worker_->stats().cache.misses, 1U) << "the stage was there already";
}

TEST_F(WorkerReload, GoesBackAndForth) {
  start(old_);
  for (int round = 0; round < 3; ++round) {
    EXPECT_TRUE(worker_->replace_model("net", new_));
    expect_right(*new_);
    expect_right(*old_);
    EXPECT_TRUE(worker_->replace_model("net", old_));
    expect_right(*new_);
    expect_right(*old_);
  }
}

TEST_F(WorkerReload, ReplacesOnlyWhatIsThere) {
  start(old_);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "net", [&] { worker_->replace_model("nett", new_); }));
  EXPECT_EQ(thrown_code([&] { worker_->replace_model("net", nullptr); }), ErrorCode::invalid_argument);
  expect_right(*old_);
}

/// Requests that were taken in before end with the version they were made for, whatever the grace.
TEST_F(WorkerReload, DropsNoRequestThatItHas) {
  start(std::make_shared<testing::HookedModel>(old_, testing::Hooks{.on_run = [this](const auto&) { gate_.pass(); }}),
        {.replaced_model_grace = 0ns});
  std::vector<std::future<CallResult>> results;
  for (int i = 0; i < 3; ++i) {
    auto promise = std::make_shared<std::promise<CallResult>>();
    results.push_back(promise->get_future());
    connection_->call(request_for(*old_), {}, {}, [promise](CallResult got) { promise->set_value(std::move(got)); });
  }
  gate_.wait_for(1);
  while (worker_->stats().queued < 2) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(worker_->replace_model("net", new_));
  gate_.open();
  for (auto& result : results) EXPECT_EQ(std::get<Message>(result.get()).kind, MessageKind::reply);
}

TEST_F(WorkerReload, AllRequestsAreAnsweredWhileItIsReplacedAgainAndAgain) {
  start(old_, {.executor_threads = 2});
  const std::jthread operator_thread([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) worker_->replace_model("net", i % 2 == 0 ? new_ : old_);
  });
  for (int i = 0; i < 50; ++i) expect_right(*old_);
}

}  // namespace
}  // namespace splitnet
