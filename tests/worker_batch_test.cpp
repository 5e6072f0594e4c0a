// SPDX-License-Identifier: Apache-2.0
// A worker that runs several requests in one pass.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
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
using testing::Hooks;
using testing::thrown_code;

/// The tail of the arithmetic model computes each row by itself, with a number that it is given.
StageKey tail() {
  return {{{0, 1, 2, 3}}, 1};
}

std::vector<Value> tail_inputs(const Model& model, int seed) {
  const auto head = model.make_stage({tail().cuts, 0});
  auto boundary = head->run(testing::inputs_of(seed));
  boundary.resize(head->info().boundary_count);
  return boundary;
}

class WorkerBatch : public ::testing::Test {
 protected:
  /// Whole models, which the tests use to keep the thread busy, wait at the gate.
  void start(
      WorkerOptions options, std::function<void()> on_tail = [] {}, bool has_examples = true) {
    Hooks hooks;
    hooks.on_run = [this, on_tail = std::move(on_tail)](const StageInfo& info) {
      info.stage_count == 1 ? gate_.pass() : info.index == 1 ? on_tail() : void();
    };
    hooks.has_examples = has_examples;
    model_ = std::make_shared<testing::HookedModel>(testing::branch_model(), std::move(hooks));
    worker_ = Worker::create(std::move(options));
    worker_->add_model("net", model_);
    connection_ = registry_.connect(worker_->serve(registry_, "inproc://batch"));
  }
  static WorkerOptions of_rows(std::size_t rows, std::chrono::nanoseconds wait = 0ns) {
    return {.batching = {.max_rows = rows, .max_wait = wait, .tolerance = 0}};
  }
  void prepare() {
    Message message = request({});
    message.request.operation = Operation::prepare;
    call_and_wait(*connection_, std::move(message));
    while (worker_->stats().running > 0) std::this_thread::sleep_for(1ms);  // It was answered, but may not be over.
  }
  Message request(std::vector<Value> values) {
    Message message;
    message.request = {"net", model_->fingerprint(), tail()};
    message.values = std::move(values);
    return message;
  }
  std::future<CallResult> send(Message message, std::stop_token stop = {}, Deadline deadline = {}) {
    auto promise = std::make_shared<std::promise<CallResult>>();
    auto future = promise->get_future();
    connection_->call(std::move(message), deadline, std::move(stop),
                      [promise](CallResult result) { promise->set_value(std::move(result)); });
    return future;
  }
  std::future<CallResult> send(int seed) { return send(request(tail_inputs(*model_, seed))); }
  /// Keeps the worker's thread until the gate opens.
  void keep_busy() {
    Message message;
    message.request = {"net", model_->fingerprint(), {}};
    message.values = testing::inputs_of(1);
    busy_ = send(std::move(message));
    gate_.wait_for(1);
  }
  void wait_for_queued(std::size_t count) {
    while (worker_->stats().queued < count) std::this_thread::sleep_for(1ms);
  }
  void expect_right(std::future<CallResult>& result, int seed) {
    const auto got = result.get();
    const auto* const reply = std::get_if<Message>(&got);
    ASSERT_TRUE(reply != nullptr && reply->kind == MessageKind::reply) << "input " << seed;
    const auto expected = testing::branch_model()->make_stage(tail())->run(tail_inputs(*model_, seed));
    ASSERT_EQ(reply->values.size(), expected.size());
    EXPECT_TRUE(bit_identical(reply->values[0], expected[0])) << "input " << seed;
    for (const char* step : {"queue", "slice", "run"}) EXPECT_GE(reply->times_s.at(step), 0) << step;
  }

  const TransportRegistry registry_ = TransportRegistry::with_defaults();
  Gate gate_;  // Outlives the worker, whose passes may still stand in it.
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Worker> worker_;
  std::unique_ptr<Connection> connection_;
  std::future<CallResult> busy_;
};

TEST_F(WorkerBatch, RunsWhatWaitsTogether) {
  start(of_rows(8));
  prepare();
  keep_busy();
  std::vector<std::future<CallResult>> results;
  for (int seed = 0; seed < 5; ++seed) results.push_back(send(seed));
  wait_for_queued(5);
  gate_.open();
  for (int seed = 0; seed < 5; ++seed) expect_right(results[static_cast<std::size_t>(seed)], seed);
  const WorkerStats stats = worker_->stats();
  EXPECT_EQ(stats.batches, 1U);
  EXPECT_EQ(stats.batched_requests, 4U) << "of 2 rows each";
  EXPECT_EQ(stats.stages_run, 3U) << "the whole model, four together, and the fifth";
}

TEST_F(WorkerBatch, DecodesEachByItself) {
  start(of_rows(8));
  prepare();
  keep_busy();
  std::vector<std::future<CallResult>> results;
  for (const char* name : {"raw", "f32", "f32:lossless=zstd"}) {
    Message message = request(tail_inputs(*model_, 3));
    message.request.codec = name;
    std::shared_ptr<const Codec> codec;
    try {
      codec = CodecRegistry::with_defaults().make(name);
    } catch (const Error&) {
      continue;  // Built without this one.
    }
    if (codec) message.values = encode_values(*codec, std::move(message.values)).values;
    results.push_back(send(std::move(message)));
  }
  wait_for_queued(results.size());
  gate_.open();
  for (auto& result : results) expect_right(result, 3);
  EXPECT_EQ(worker_->stats().batches, 1U);
}

TEST_F(WorkerBatch, WaitsAWhileForOthers) {
  start(of_rows(4, 1h));
  prepare();
  auto first = send(1);
  while (worker_->stats().running == 0) std::this_thread::sleep_for(1ms);
  auto second = send(2);
  expect_right(first, 1);
  expect_right(second, 2);
  EXPECT_EQ(worker_->stats().batched_requests, 2U);
}

TEST_F(WorkerBatch, DoesNotWaitWhenThereIsSomethingElseToDo) {
  start(of_rows(4, 1h));
  prepare();
  keep_busy();
  auto first = send(1);
  wait_for_queued(1);
  Message probe;
  probe.request.operation = Operation::probe;
  probe.values = {1};
  auto second = send(std::move(probe));
  wait_for_queued(2);
  gate_.open();
  expect_right(first, 1);
  EXPECT_EQ(std::get<Message>(second.get()).kind, MessageKind::reply);
  EXPECT_EQ(worker_->stats().batches, 0U);
}

TEST_F(WorkerBatch, DoesNotWaitWhenItDrains) {
  start(of_rows(4, 1h));
  prepare();
  auto first = send(1);
  while (worker_->stats().running == 0) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(worker_->drain(60s));
  expect_right(first, 1);
}

/// Neither that of the one who waits first, nor that of one who joins.
TEST_F(WorkerBatch, DoesNotWaitPastADeadline) {
  start(of_rows(4, 1h));
  prepare();
  const auto soon = [] { return std::chrono::steady_clock::now() + 4s; };
  auto alone = send(request(tail_inputs(*model_, 1)), {}, soon());
  expect_right(alone, 1);
  auto first = send(2);
  while (worker_->stats().running == 0) std::this_thread::sleep_for(1ms);
  auto second = send(request(tail_inputs(*model_, 3)), {}, soon());
  expect_right(second, 3);
  expect_right(first, 2);
  EXPECT_EQ(worker_->stats().batched_requests, 2U);
}

TEST_F(WorkerBatch, IsOffByDefault) {
  start({});
  keep_busy();
  auto first = send(1);
  auto second = send(2);
  wait_for_queued(2);
  gate_.open();
  expect_right(first, 1);
  expect_right(second, 2);
  EXPECT_EQ(worker_->stats().batches, 0U);
}

/// The whole model counts its elements, those of the others too, and the head gives that number away.
TEST_F(WorkerBatch, RunsAloneWhatDependsOnOthers) {
  start(of_rows(64));
  gate_.open();
  for (const StageKey& key : {StageKey{}, StageKey{tail().cuts, 0}}) {
    std::vector<std::future<CallResult>> results;
    for (int i = 0; i < 20; ++i) {
      Message message;
      message.request = {"net", model_->fingerprint(), key};
      message.values = testing::inputs_of(i);
      results.push_back(send(std::move(message)));
    }
    for (int i = 0; i < 20; ++i) {
      const auto reply = std::get<Message>(results[static_cast<std::size_t>(i)].get());
      const auto expected = testing::branch_model()->make_stage(key)->run(testing::inputs_of(i));
      EXPECT_TRUE(bit_identical(reply.values.at(0), expected[0]));
    }
  }
  EXPECT_EQ(worker_->stats().batches, 0U);
}

TEST_F(WorkerBatch, RunsAloneWhatCanNotBeTriedOut) {
  start(
      of_rows(8), [] {}, false);
  keep_busy();
  auto first = send(1);
  auto second = send(2);
  wait_for_queued(2);
  gate_.open();
  expect_right(first, 1);
  expect_right(second, 2);
  EXPECT_EQ(worker_->stats().batches, 0U);
}

TEST_F(WorkerBatch, WhatDoesNotFitRunsAloneAndHarmsNobody) {
  start(of_rows(8));
  prepare();
  keep_busy();
  auto first = send(1);
  auto second = send(2);
  wait_for_queued(2);
  auto wrong = tail_inputs(*model_, 3);
  for (Value& value : wrong) {
    if (value.get_if<Tensor>() != nullptr) value = Tensor::empty(DType::f64, {2, 8});
  }
  auto third = send(request(std::move(wrong)));
  auto fourth = send(request({}));
  wait_for_queued(4);
  gate_.open();
  expect_right(first, 1);
  expect_right(second, 2);
  EXPECT_EQ(std::get<Message>(third.get()).error, ErrorCode::invalid_argument);
  EXPECT_EQ(std::get<Message>(fourth.get()).error, ErrorCode::invalid_argument);
  EXPECT_EQ(worker_->stats().batched_requests, 2U);
}

TEST_F(WorkerBatch, TriesEachAloneWhenTheyFailTogether) {
  std::atomic<bool> fails = false;
  start(of_rows(8), [&] {
    if (fails.exchange(false)) throw std::runtime_error("out of luck");
  });
  prepare();
  keep_busy();
  auto first = send(1);
  auto second = send(2);
  wait_for_queued(2);
  fails = true;
  gate_.open();
  expect_right(first, 1);
  expect_right(second, 2);
  EXPECT_EQ(worker_->stats().stages_run, 4U);
}

TEST_F(WorkerBatch, LeavesOutWhoHasCancelled) {
  start(of_rows(8));
  prepare();
  keep_busy();
  std::stop_source stop;
  auto first = send(1);
  auto second = send(request(tail_inputs(*model_, 2)), stop.get_token());
  auto third = send(3);
  wait_for_queued(3);
  stop.request_stop();
  EXPECT_EQ(std::get<Error>(second.get()).code(), ErrorCode::cancelled);
  auto fourth = send(4);  // Behind the cancel, on the same road.
  wait_for_queued(4);
  gate_.open();
  expect_right(first, 1);
  expect_right(third, 3);
  expect_right(fourth, 4);
  EXPECT_EQ(worker_->stats().batched_requests, 3U);
}

TEST(WorkerBatching, ChecksItsOptions) {
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.batching = {.max_rows = 0}}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.batching = {.max_wait = -1ns}}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.batching = {.max_wait = 2h}}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.batching = {.tolerance = -1}}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.replaced_model_grace = -1ns}); }), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace splitnet
