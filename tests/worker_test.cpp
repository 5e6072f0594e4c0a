// SPDX-License-Identifier: Apache-2.0
#include "splitnet/worker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <mutex>
#include <new>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/trace.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

/// FAULTS 41: whoever sets the clock of the machine moves no deadline (and check_house sees that none is read).
static_assert(std::is_same_v<Deadline::value_type, std::chrono::steady_clock::time_point>);

using namespace std::chrono_literals;
using ::testing::ContainsRegex;
using testing::Gate;
using testing::Hooks;
using testing::thrown_code;

Message request_for(const Model& model, StageKey key, std::vector<Value> values, std::string name = "net") {
  Message message;
  message.request = {std::move(name), model.fingerprint(), std::move(key)};
  message.values = std::move(values);
  return message;
}

/// A worker that serves "net" on an endpoint of the parameter's kind, and a connection to it.
class WorkerTest : public ::testing::TestWithParam<std::string> {
 protected:
  void start(std::shared_ptr<const Model> model, WorkerOptions options = {}) {
    model_ = std::move(model);
    worker_ = Worker::create(std::move(options));
    worker_->add_model("net", model_);
    address_ = worker_->serve(registry_, GetParam());
    connection_ = registry_.connect(address_);
  }
  void start(Hooks hooks, WorkerOptions options = {}) {
    start(std::make_shared<testing::HookedModel>(testing::chain_model(), std::move(hooks)), std::move(options));
  }

  Message call(Message message, Deadline deadline = {}) {
    return call_and_wait(*connection_, std::move(message), deadline);
  }
  Message whole_model(int seed = 1) { return request_for(*model_, {}, testing::inputs_of(seed)); }
  std::future<CallResult> send(Message message, Deadline deadline = {}, std::stop_token stop = {}) {
    auto promise = std::make_shared<std::promise<CallResult>>();
    auto future = promise->get_future();
    connection_->call(std::move(message), deadline, std::move(stop),
                      [promise](CallResult result) { promise->set_value(std::move(result)); });
    return future;
  }
  /// The code of a result that is an error of either kind.
  static ErrorCode code_of(CallResult result) {
    return thrown_code([&] {
      if (const auto* error = std::get_if<Error>(&result)) throw *error;
      std::get<Message>(result).throw_if_error();
    });
  }
  void expect_serving() { EXPECT_EQ(call(whole_model()).kind, MessageKind::reply); }
  /// Requests that wait when it returns: all that was said on this road before has reached the worker by then. Two,
  /// for over HTTP each has a socket of its own, and a listener has two threads that take turns with sockets.
  std::vector<std::future<CallResult>> send_behind() {
    const std::size_t before = worker_->stats().queued;
    std::vector<std::future<CallResult>> results;
    for (int i = 0; i < 2; ++i) results.push_back(send(whole_model(7 + i)));
    wait_until([&](const WorkerStats& stats) { return stats.queued == before + 2; });
    return results;
  }
  static void expect_answered(std::vector<std::future<CallResult>> results) {
    for (auto& result : results) EXPECT_EQ(std::get<Message>(result.get()).kind, MessageKind::reply);
  }
  template <class Condition>
  void wait_until(Condition&& condition) {
    while (!condition(worker_->stats())) std::this_thread::sleep_for(1ms);
  }

  TransportRegistry registry_ = testing::all_transports();
  Gate gate_;  // Outlives the workers, whose passes may still stand in it.
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Worker> worker_;
  std::string address_;
  std::unique_ptr<Connection> connection_;
};

TEST_P(WorkerTest, RunsTheWholeModelForAKeyWithoutCuts) {
  start(testing::chain_model());
  const auto inputs = testing::inputs_of(3);
  Message reply = call(request_for(*model_, {}, inputs));
  const StageInfo info = model_->make_stage({})->info();
  ASSERT_EQ(reply.values.size(), info.outputs.size());
  const auto expected = model_->make_stage({})->run(inputs);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], expected[i]));
  for (const char* step : {"queue", "slice", "run"}) {
    ASSERT_TRUE(reply.times_s.contains(step)) << step;
    EXPECT_GE(reply.times_s[step], 0) << step;
  }
  EXPECT_EQ(worker_->stats().answered, 1U);
}

TEST_P(WorkerTest, TellsItsClockToWhoTracesTheRequest) {
  start(testing::chain_model());
  Message request = whole_model();
  EXPECT_FALSE(call(request).times_s.contains(clock_received));
  request.trace.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
  EXPECT_FALSE(call(request).times_s.contains(clock_received)) << "not sampled";
  request.trace.traceparent.back() = '1';
  const Message reply = call(request);
  const double received_s = reply.times_s.at(clock_received);
  const double sent_s = reply.times_s.at(clock_sent);
  EXPECT_LE(reply.times_s.at("queue") + reply.times_s.at("run"), sent_s - received_s + 1e-9);
}

TEST_P(WorkerTest, SlicesOnceForManyRequestsAtTheSameTime) {
  std::atomic<int> made = 0;
  start({.on_make =
             [&](const StageKey&) {
               ++made;
               gate_.pass();
             }},
        {.executor_threads = 3});
  std::vector<std::future<CallResult>> results;
  for (int i = 0; i < 3; ++i) results.push_back(send(whole_model(i)));
  wait_until([](const WorkerStats& stats) { return stats.cache.hits == 2; });
  gate_.open();
  for (auto& result : results) EXPECT_EQ(std::get<Message>(result.get()).kind, MessageKind::reply);
  EXPECT_EQ(made, 1);
}

TEST_P(WorkerTest, PreparesAStageWithoutRunningIt) {
  start(testing::chain_model());
  Message message = request_for(*model_, {{{0}}, 1}, {});
  message.request.operation = Operation::prepare;
  EXPECT_TRUE(call(std::move(message)).values.empty());
  EXPECT_EQ(worker_->stats().stages_run, 0U);
  EXPECT_EQ(worker_->stats().cache.stages, 1U);
}

TEST_P(WorkerTest, RefusesAForeignFingerprintBeforeAnythingIsCut) {
  start(testing::chain_model());
  Message message = whole_model();
  message.request.fingerprint = "0123456789abcdef";
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(std::move(message)); }, &words), ErrorCode::incompatible);
  EXPECT_NE(words.find("0123456789abcdef"), std::string::npos) << words;
  EXPECT_NE(words.find(model_->fingerprint()), std::string::npos) << words;
  EXPECT_EQ(worker_->stats().stages_run, 0U);
  EXPECT_EQ(worker_->stats().cache.misses, 0U);
  expect_serving();
}

TEST_P(WorkerTest, KnowsNoModelsButItsOwn) {
  start(testing::chain_model());
  worker_->add_model("other", testing::branch_model());
  for (const char* name :
       {"nett", "/etc/passwd", "../net", "net.pt", "http://127.0.0.1/net.pt", "file:///net", "net\n"}) {
    Message message = whole_model();
    message.request.model = name;
    std::string words;
    EXPECT_EQ(thrown_code([&] { call(std::move(message)); }, &words), ErrorCode::invalid_argument) << name;
    EXPECT_NE(words.find("net, other"), std::string::npos) << words;
  }
  expect_serving();
}

TEST_P(WorkerTest, CutsTheNameOfAnUnknownModelShortInItsAnswer) {
  start(testing::chain_model());
  Message message = whole_model();
  message.request.model = std::string(20000, 'x');
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(std::move(message)); }, &words), ErrorCode::invalid_argument);
  EXPECT_LT(words.size(), 500U);
}

TEST_P(WorkerTest, FindsAModelByItsFingerprintWhenNoNameIsGiven) {
  start(testing::chain_model());
  worker_->add_model("other", testing::branch_model());
  Message message = whole_model();
  message.request.model.clear();
  EXPECT_EQ(call(message).kind, MessageKind::reply);
  message.request.fingerprint = "feed";
  EXPECT_EQ(thrown_code([&] { call(message); }), ErrorCode::incompatible);
}

TEST_P(WorkerTest, RefusesCutsThatAreNotOfThisModel) {
  start(testing::chain_model());
  const std::size_t layers = model_->layers().layers.size();
  const std::vector<StageKey> keys = {
      {{{0, layers}}, 1},   // of another version: more layers
      {{{0, 1000000}}, 1},  //
      {{{1}}, 1},           // not closed
      {{{1, 0}}, 1},        // not sorted
      {{{0, 0}}, 1},        //
      {{{0}}, 2},           // no such stage
      {{}, 1},              //
      {{{0, 1}, {0}}, 1},   // the second does not contain the first
  };
  for (const StageKey& key : keys) {
    EXPECT_EQ(thrown_code([&] { call(request_for(*model_, key, testing::inputs_of(1))); }),
              ErrorCode::invalid_argument);
  }
  EXPECT_EQ(worker_->stats().cache.stages, 0U);
  expect_serving();
}

TEST_P(WorkerTest, TellsWhyACutIsRefused) {
  start({.refuse = [](const std::vector<LayerSet>& cuts) -> std::optional<Refusal> {
    if (cuts.empty()) return std::nullopt;
    return Refusal{RefusalReason::value_cannot_travel, "layer1 gives a Generator"};
  }});
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(request_for(*model_, {{{0}}, 1}, {})); }, &words), ErrorCode::unsupported_model);
  EXPECT_NE(words.find("layer1 gives a Generator"), std::string::npos) << words;
  expect_serving();
}

TEST_P(WorkerTest, RefusesAWrongNumberOfValues) {
  start(testing::chain_model());
  EXPECT_EQ(thrown_code([&] { call(request_for(*model_, {}, {})); }), ErrorCode::invalid_argument);
  expect_serving();
}

TEST_P(WorkerTest, GoesOnAfterAStageThrows) {
  std::atomic<int> run = 0;
  start({.on_run = [&](const StageInfo&) {
    switch (run++) {
      case 0: throw Error(ErrorCode::too_large, "a shape of terabytes");
      case 1: throw std::runtime_error("shape '[3, 5]' is invalid");
      case 2: throw std::bad_alloc();
      case 3: throw 42;
      case 4: throw std::runtime_error(std::string(200000, 'x'));
      default: break;
    }
  }});
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(whole_model()); }, &words), ErrorCode::too_large);
  EXPECT_EQ(words, "a shape of terabytes");
  EXPECT_EQ(thrown_code([&] { call(whole_model()); }, &words), ErrorCode::internal);
  EXPECT_EQ(words, "shape '[3, 5]' is invalid");
  EXPECT_EQ(thrown_code([&] { call(whole_model()); }), ErrorCode::overloaded);
  EXPECT_EQ(thrown_code([&] { call(whole_model()); }), ErrorCode::internal);
  EXPECT_EQ(thrown_code([&] { call(whole_model()); }), ErrorCode::internal);
  expect_serving();
  EXPECT_EQ(worker_->stats().failed, 5U);
}

TEST_P(WorkerTest, AnswersOverloadedWhenTheQueueIsFull) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }}, {.max_queued_requests = 1});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  auto queued = send(whole_model(2));
  wait_until([](const WorkerStats& stats) { return stats.queued == 1; });
  EXPECT_EQ(thrown_code([&] { call(whole_model(3)); }), ErrorCode::overloaded);
  gate_.open();
  EXPECT_EQ(std::get<Message>(running.get()).kind, MessageKind::reply);
  EXPECT_EQ(std::get<Message>(queued.get()).kind, MessageKind::reply);
  expect_serving();
}

TEST_P(WorkerTest, ClientsTakeTurns) {
  std::mutex mutex;
  std::vector<std::size_t> order;  // Which stages ran: the callers ask for different ones.
  if (!GetParam().starts_with("tcp") && !GetParam().starts_with("inproc")) return;  // Both are of this process or host.
  start({.on_run = [&](const StageInfo& info) {
    gate_.pass();
    const std::lock_guard lock(mutex);
    order.push_back(info.stage_count);
  }});
  auto running = send(whole_model(0));
  gate_.wait_for(1);
  std::vector<std::future<CallResult>> results;
  for (int i = 0; i < 5; ++i) results.push_back(send(whole_model(i)));
  wait_until([](const WorkerStats& stats) { return stats.queued == 5; });
  const auto friendly = registry_.connect(address_);
  std::thread other([&] {
    const StageKey head{{{0}}, 0};
    EXPECT_EQ(call_and_wait(*friendly, request_for(*model_, head, testing::inputs_of(1))).kind, MessageKind::reply);
  });
  wait_until([](const WorkerStats& stats) { return stats.queued == 6; });
  gate_.open();
  other.join();
  for (auto& result : results) EXPECT_EQ(std::get<Message>(result.get()).kind, MessageKind::reply);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(order, (std::vector<std::size_t>{1, 1, 2, 1, 1, 1, 1})) << "behind one of the other's five";
}

TEST_P(WorkerTest, AClientWithNothingWaitingTakesAPlaceOfTheLongestBacklog) {
  if (!GetParam().starts_with("tcp") && !GetParam().starts_with("inproc")) return;
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }}, {.max_queued_requests = 3});
  auto running = send(whole_model(0));
  gate_.wait_for(1);
  std::vector<std::future<CallResult>> results;
  for (std::size_t i = 0; i < 3; ++i) {
    results.push_back(send(whole_model(static_cast<int>(i))));
    wait_until([&](const WorkerStats& stats) { return stats.queued == i + 1; });
  }
  const auto friendly = registry_.connect(address_);
  std::thread other([&] { EXPECT_EQ(call_and_wait(*friendly, whole_model(9)).kind, MessageKind::reply); });
  EXPECT_EQ(code_of(results.back().get()), ErrorCode::overloaded) << "its newest gave way";
  gate_.open();
  other.join();
  EXPECT_EQ(std::get<Message>(results[0].get()).kind, MessageKind::reply);
  EXPECT_EQ(std::get<Message>(results[1].get()).kind, MessageKind::reply);
}

TEST_P(WorkerTest, SaysWhenToTryAgain) {
  std::atomic<int> run = 0;
  start({.on_run =
             [&](const StageInfo&) {
               if (run++ > 0) gate_.pass();
               std::this_thread::sleep_for(run == 1 ? 100ms : 0ms);
             }},
        {.max_queued_requests = 10});
  expect_serving();  // 100 ms at least: now it knows.
  std::vector<std::future<CallResult>> results;
  results.push_back(send(whole_model(1)));
  gate_.wait_for(1);
  for (int i = 0; i < 10; ++i) results.push_back(send(whole_model(i)));
  wait_until([](const WorkerStats& stats) { return stats.queued == 10; });
  const auto error = testing::error_of([&] { call(whole_model(3)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::overloaded);
  EXPECT_GE(error->retry_after_s().value_or(0), 0.01);
  EXPECT_LE(error->retry_after_s().value_or(0), 10);
  gate_.open();
  for (auto& result : results) EXPECT_EQ(std::get<Message>(result.get()).kind, MessageKind::reply);
}

TEST_P(WorkerTest, HoldsItsByteBudget) {
  std::size_t bytes = 0;
  for (const Value& value : testing::inputs_of(1)) {
    for_each_tensor(value, [&](const Tensor& tensor) { bytes += tensor.packed_bytes(); });
  }
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }}, {.max_queued_bytes = bytes * 3 / 2});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  EXPECT_EQ(thrown_code([&] { call(whole_model(2)); }), ErrorCode::overloaded);
  gate_.open();
  EXPECT_EQ(std::get<Message>(running.get()).kind, MessageKind::reply);
  wait_until([](const WorkerStats& stats) { return stats.running == 0; });
  expect_serving();
}

/// FAULTS 26.
TEST_P(WorkerTest, HasOneByteBudgetForAllClients) {
  const std::size_t bytes = 2 * 8 * sizeof(float);
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }}, {.max_queued_bytes = 3 * bytes});
  std::vector<std::unique_ptr<Connection>> clients;
  std::atomic<int> answered = 0;
  std::atomic<int> refused = 0;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(registry_.connect(address_));
    clients.back()->call(whole_model(i), {}, {}, [&](CallResult result) {
      const auto* const reply = std::get_if<Message>(&result);
      ASSERT_NE(reply, nullptr);
      if (reply->kind == MessageKind::reply) ++answered;
      if (reply->kind == MessageKind::error && reply->error == ErrorCode::overloaded) ++refused;
    });
  }
  wait_until([](const WorkerStats& stats) { return stats.failed == 9; });
  gate_.wait_for(1);
  EXPECT_EQ(worker_->stats().queued, 2U);
  gate_.open();
  while (answered + refused < 12) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(answered, 3);
  EXPECT_TRUE(worker_->drain(60s));
}

/// FAULTS 40: whether it is the pass or the slicing that finds none.
TEST_P(WorkerTest, GoesOnWhenItIsOutOfMemory) {
  std::atomic<bool> no_memory = true;
  const auto take_memory = [&] {
    if (no_memory) throw std::bad_alloc();
  };
  start({.on_make = [&](const StageKey& key) { key.cuts.empty() ? void() : take_memory(); },
         .on_run = [&](const StageInfo&) { take_memory(); }});
  for (const StageKey& key : {StageKey{}, StageKey{{{0}}, 0}}) {
    no_memory = true;
    const Message message = request_for(*model_, key, testing::inputs_of(1));
    EXPECT_EQ(thrown_code([&] { call(message); }), ErrorCode::overloaded);
    no_memory = false;
    EXPECT_EQ(call(message).kind, MessageKind::reply);
  }
}

TEST_P(WorkerTest, RefusesARequestLargerThanItsWholeByteBudget) {
  start(testing::chain_model(), {.max_queued_bytes = 1});
  EXPECT_EQ(thrown_code([&] { call(whole_model()); }), ErrorCode::too_large);
}

TEST_P(WorkerTest, DoesNotStartWhatIsPastItsDeadline) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  auto late = send(whole_model(2), std::chrono::steady_clock::now() + 200ms);
  wait_until([](const WorkerStats& stats) { return stats.queued == 1; });
  EXPECT_EQ(code_of(late.get()), ErrorCode::deadline_exceeded);
  auto behind = send_behind();
  gate_.open();
  EXPECT_EQ(std::get<Message>(running.get()).kind, MessageKind::reply);
  expect_answered(std::move(behind));
  EXPECT_EQ(worker_->stats().stages_run, 3U);
  EXPECT_EQ(worker_->stats().failed, 1U);
}

TEST_P(WorkerTest, DoesNotStartWhatWasCancelled) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  std::stop_source stop;
  auto cancelled = send(whole_model(2), {}, stop.get_token());
  wait_until([](const WorkerStats& stats) { return stats.queued == 1; });
  stop.request_stop();
  EXPECT_EQ(code_of(cancelled.get()), ErrorCode::cancelled);
  auto behind = send_behind();
  gate_.open();
  EXPECT_EQ(std::get<Message>(running.get()).kind, MessageKind::reply);
  expect_answered(std::move(behind));
  EXPECT_EQ(worker_->stats().stages_run, 3U);
  EXPECT_EQ(worker_->stats().failed, 1U);
}

TEST_P(WorkerTest, GivesThePlacesOfCancelledRequestsToOthers) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }}, {.max_queued_requests = 3});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  std::stop_source stop;
  auto cancelled = send(whole_model(2), {}, stop.get_token());
  wait_until([](const WorkerStats& stats) { return stats.queued == 1; });
  stop.request_stop();
  EXPECT_EQ(code_of(cancelled.get()), ErrorCode::cancelled);
  auto behind = send_behind();
  behind.push_back(send(whole_model(3)));  // There is no place left but that of the cancelled one.
  wait_until([](const WorkerStats& stats) { return stats.failed == 1; });
  EXPECT_EQ(worker_->stats().queued, 3U);
  gate_.open();
  expect_answered(std::move(behind));
  EXPECT_EQ(std::get<Message>(running.get()).kind, MessageKind::reply);
}

/// A pass can't be stopped, but its result is thrown away.
TEST_P(WorkerTest, HearsOfACancelInTheMiddleOfAPass) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  std::stop_source stop;
  auto cancelled = send(whole_model(1), {}, stop.get_token());
  gate_.wait_for(1);
  stop.request_stop();
  EXPECT_EQ(code_of(cancelled.get()), ErrorCode::cancelled);
  auto next = send(whole_model(2));  // Behind the cancel, on the same road.
  wait_until([](const WorkerStats& stats) { return stats.queued == 1; });
  gate_.open();
  EXPECT_EQ(std::get<Message>(next.get()).kind, MessageKind::reply);
  EXPECT_EQ(worker_->stats().failed, 1U);
  EXPECT_EQ(worker_->stats().answered, 1U);
  expect_serving();
}

/// FAULTS 22: a request has no effect but its answer.
TEST_P(WorkerTest, AnswersARequestThatComesAgainWithTheSameBits) {
  start(testing::chain_model());
  const Message request = whole_model(5);
  const auto first = call(request);
  const auto second = call(request);
  ASSERT_EQ(first.values.size(), second.values.size());
  for (std::size_t i = 0; i < first.values.size(); ++i) {
    EXPECT_TRUE(bit_identical(first.values[i], second.values[i]));
  }
}

TEST_P(WorkerTest, DrainsWhatItHasAndRefusesWhatComes) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  auto queued = send(whole_model(2));
  wait_until([](const WorkerStats& stats) { return stats.queued == 1; });
  EXPECT_FALSE(worker_->drain(1ms));
  EXPECT_EQ(thrown_code([&] { call(whole_model(3)); }), ErrorCode::unavailable);
  gate_.open();
  EXPECT_TRUE(worker_->drain(60s));
  EXPECT_EQ(std::get<Message>(running.get()).kind, MessageKind::reply);
  EXPECT_EQ(std::get<Message>(queued.get()).kind, MessageKind::reply);
  EXPECT_EQ(thrown_code([&] { (void)worker_->serve(registry_, GetParam()); }), ErrorCode::unavailable);
}

TEST_P(WorkerTest, AnswersArriveThoughItClosesRightAfterDraining) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  std::vector<std::future<CallResult>> results;
  for (int i = 0; i < 8; ++i) results.push_back(send(whole_model(i)));
  wait_until([](const WorkerStats& stats) { return stats.queued == 7; });
  gate_.open();
  EXPECT_TRUE(worker_->drain(60s));
  worker_->close();
  for (auto& result : results) {
    CallResult got = result.get();
    EXPECT_TRUE(std::holds_alternative<Message>(got));
  }
}

TEST_P(WorkerTest, ClosesWhileBusy) {
  start({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  auto running = send(whole_model(1));
  gate_.wait_for(1);
  std::vector<std::future<CallResult>> queued;
  for (int i = 0; i < 5; ++i) queued.push_back(send(whole_model(i)));
  wait_until([](const WorkerStats& stats) { return stats.queued == 5; });
  std::thread closer([&] { worker_->close(); });
  EXPECT_EQ(code_of(running.get()), ErrorCode::unavailable) << "before the pass has ended";
  for (auto& result : queued) EXPECT_EQ(code_of(result.get()), ErrorCode::unavailable);
  gate_.open();
  closer.join();
  worker_->close();
  EXPECT_EQ(worker_->stats().queued, 0U);
}

TEST_P(WorkerTest, ServesSeveralModelsAndEndpointsAndAddsSomeWhileServing) {
  start(testing::chain_model());
  const auto branch = testing::branch_model();
  worker_->add_model("branch", branch);
  EXPECT_EQ(worker_->model_names(), (std::vector<std::string>{"branch", "net"}));
  EXPECT_EQ(call(request_for(*branch, {}, testing::inputs_of(1), "branch")).kind, MessageKind::reply);
  const auto second = registry_.connect(worker_->serve(registry_, "inproc://second"));
  EXPECT_EQ(call_and_wait(*second, whole_model()).kind, MessageKind::reply);
}

TEST_P(WorkerTest, KeepsAsManyStagesAsItMay) {
  start(testing::chain_model(), {.cache = {.max_stages = 2}});
  const std::size_t layers = model_->layers().layers.size();
  ASSERT_GE(layers, 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    Message message = request_for(*model_, {{model_->layers().resolve(Cut::after_index(i))}, 1}, {});
    message.request.operation = Operation::prepare;
    call(std::move(message));
  }
  EXPECT_EQ(worker_->stats().cache.stages, 2U);
  EXPECT_EQ(worker_->stats().cache.evictions, 2U);
}

INSTANTIATE_TEST_SUITE_P(Transports, WorkerTest, ::testing::ValuesIn(testing::all_endpoints("worker")),
                         [](const auto& test) { return testing::scheme_of(test.param); });

TEST(Worker, TakesModelsOnlyUnderPlainNames) {
  const auto worker = Worker::create();
  for (const char* name : {"", "a/b", "tcp://x", "c:\\net"}) {
    EXPECT_EQ(thrown_code([&] { worker->add_model(name, testing::chain_model()); }), ErrorCode::invalid_argument)
        << name;
  }
  EXPECT_EQ(thrown_code([&] { worker->add_model("net", nullptr); }), ErrorCode::invalid_argument);
  worker->add_model("net", testing::chain_model());
  EXPECT_EQ(thrown_code([&] { worker->add_model("net", testing::chain_model()); }), ErrorCode::invalid_argument);
}

TEST(Worker, ChecksItsOptions) {
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.executor_threads = 0}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([] { (void)Worker::create({.stage = {.threads = -1}}); }), ErrorCode::invalid_argument);
}

TEST(Worker, SaysWhetherItIsReady) {
  const auto registry = TransportRegistry::with_defaults();
  const auto worker = Worker::create();
  EXPECT_EQ(worker->readiness(), "loading");
  (void)worker->serve(registry, "inproc://w");
  EXPECT_EQ(worker->readiness(), std::nullopt);
  EXPECT_TRUE(worker->drain(1s));
  EXPECT_EQ(worker->readiness(), "draining");
  worker->close();
  EXPECT_EQ(worker->readiness(), "closed");
}

TEST(Worker, CountsByModelAndOutcome) {
  const auto registry = TransportRegistry::with_defaults();
  const auto worker = Worker::create();
  const auto model = testing::chain_model();
  worker->add_model("net", model);
  EXPECT_EQ(worker->stats().models.at("net").answered, 0U);
  const auto connection = registry.connect(worker->serve(registry, "inproc://w"));
  const Message good = request_for(*model, {}, testing::inputs_of(1));
  const Message reply = call_and_wait(*connection, good);
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_for(*model, {}, {})); }), ErrorCode::invalid_argument);
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_for(*model, {}, {}, "unknown")); }),
            ErrorCode::invalid_argument);
  const WorkerStats stats = worker->stats();
  EXPECT_EQ(stats.answered, 1U);
  EXPECT_EQ(stats.failed, 2U);
  ASSERT_EQ(stats.models.size(), 2U) << "a name from outside is no name of a model";
  const ModelStats& net = stats.models.at("net");
  EXPECT_EQ(net.answered, 1U);
  EXPECT_EQ(net.failed.at(ErrorCode::invalid_argument), 1U);
  EXPECT_EQ(net.queue_s.count(), 2U);
  EXPECT_EQ(net.run_s.count(), 1U);
  EXPECT_EQ(net.decode_s.count(), 0U);
  EXPECT_EQ(net.request_bytes.sum, 2 * 8 * 4);
  EXPECT_EQ(net.reply_bytes.sum, 2 * 2 * 8 * 4);
  EXPECT_EQ(stats.models.at("").failed.at(ErrorCode::invalid_argument), 1U);
  EXPECT_EQ(stats.models.at("").answered, 0U);
}

/// Keeps the records as lines, for any thread.
class KeptLines {
 public:
  LogSink sink() {
    return [this](const LogRecord& record) {
      const std::lock_guard lock(mutex_);
      lines_.push_back(to_text(record));
    };
  }
  std::vector<std::string> all() const {
    const std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

TEST(Worker, LogsTheEndOfEveryRequest) {
  KeptLines lines;
  const auto registry = TransportRegistry::with_defaults();
  const auto worker = Worker::create({.log = lines.sink()});
  const auto model = testing::chain_model();
  worker->add_model("net", model);
  const auto connection = registry.connect(worker->serve(registry, "inproc://w"));
  Message good = request_for(*model, {}, testing::inputs_of(1));
  good.trace.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  (void)call_and_wait(*connection, good);
  Message bad = request_for(*model, {}, {}, "bad\nname");
  bad.trace.traceparent = "not a traceparent";
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, bad); }), ErrorCode::invalid_argument);
  const auto said = lines.all();
  ASSERT_EQ(said.size(), 2U);
  EXPECT_THAT(said[0], ContainsRegex("Z debug answered request_id=1 peer=[^ ]+ model=net operation=run "
                                     "trace_id=0af7651916cd43dd8448eb211c80319c queue_s=[^ ]+ run_s=[^ ]+$"));
  EXPECT_THAT(said[1], ContainsRegex("Z debug unknown model \"bad.name\".* request_id=2 peer=[^ ]+ operation=run "
                                     "code=invalid_argument$"));
}

TEST(Worker, LogsItsOwnFaultsLouder) {
  KeptLines lines;
  Hooks hooks;
  hooks.on_run = [](const StageInfo&) { throw std::logic_error("a bug"); };
  const auto registry = TransportRegistry::with_defaults();
  const auto worker = Worker::create({.log = lines.sink()});
  const auto model = std::make_shared<testing::HookedModel>(testing::chain_model(), hooks);
  worker->add_model("net", model);
  const auto connection = registry.connect(worker->serve(registry, "inproc://w"));
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_for(*model, {}, testing::inputs_of(1))); }),
            ErrorCode::internal);
  ASSERT_EQ(lines.all().size(), 1U);
  EXPECT_THAT(lines.all()[0], ContainsRegex("Z error a bug .* code=internal$"));
}

}  // namespace
}  // namespace splitnet
