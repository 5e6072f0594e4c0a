// SPDX-License-Identifier: Apache-2.0
// A worker that passes requests on to the next tier.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "byte_tensor.hpp"
#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/worker.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::Hooks;
using testing::thrown_code;
using testing::throws;
using ModelPtr = std::shared_ptr<const Model>;

/// Three stages, the second of which gives a result.
std::vector<LayerSet> cuts() {
  return {{0, 1}, {0, 1, 2, 3, 4}};
}

std::vector<Value> boundary_of(std::vector<Value> outputs, const StageInfo& info) {
  outputs.resize(info.boundary_count);
  return outputs;
}

/// What stage 1 of the model gets.
std::vector<Value> first_boundary(const Model& model, int seed = 1) {
  const auto head = model.make_stage({cuts(), 0});
  return boundary_of(head->run(testing::inputs_of(seed)), head->info());
}

/// What stages 1 and 2 give, one after the other, with the codec between them.
std::vector<Value> expected_results(const Model& model, const Codec* codec = nullptr) {
  const auto middle = model.make_stage({cuts(), 1});
  auto outputs = middle->run(first_boundary(model));
  const auto first_result = outputs.begin() + static_cast<std::ptrdiff_t>(middle->info().boundary_count);
  std::vector<Value> results(first_result, outputs.end());
  auto boundary = boundary_of(std::move(outputs), middle->info());
  if (codec != nullptr) boundary = decode_values(*codec, encode_values(*codec, std::move(boundary)).values);
  for (Value& value : model.make_stage({cuts(), 2})->run(std::move(boundary))) results.push_back(std::move(value));
  return results;
}

void expect_equal(const std::vector<Value>& found, const std::vector<Value>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(bit_identical(found[i], expected[i])) << "value " << i;
}

/// The code of a result that is an error of either kind.
ErrorCode code_of(CallResult result) {
  return thrown_code([&] {
    if (const auto* error = std::get_if<Error>(&result)) throw *error;
    std::get<Message>(result).throw_if_error();
  });
}

/// A worker in the middle, with a connection to it, and one behind it, over roads like the parameter.
class WorkerForwardTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::string endpoint(const std::string& suffix) const {
    return GetParam().ends_with(":0") ? GetParam() : GetParam() + "-" + suffix;
  }
  std::string start_last(ModelPtr model, WorkerOptions options = {}) {
    last_ = Worker::create(std::move(options));
    last_->add_model("net", std::move(model));
    return last_->serve(registry_, endpoint("last"));
  }
  std::string start_last(Hooks hooks) {
    return start_last(std::make_shared<testing::HookedModel>(testing::chain_model(), std::move(hooks)));
  }
  void start_middle(ModelPtr model, const std::vector<std::string>& forward_to, WorkerOptions options = {}) {
    model_ = std::move(model);
    options.forward_to = forward_to;
    options.registry = registry_;
    middle_ = Worker::create(std::move(options));
    middle_->add_model("net", model_);
    connection_ = registry_.connect(middle_->serve(registry_, endpoint("middle")));
  }
  Message request(std::vector<NextHop> next, int seed = 1) {
    Message message;
    message.request = {"net", model_->fingerprint(), {cuts(), 1}, Operation::run, "raw", std::move(next)};
    message.values = first_boundary(*model_, seed);
    return message;
  }
  Message preparation(std::vector<NextHop> next) {
    Message message = request(std::move(next));
    message.request.operation = Operation::prepare;
    message.values.clear();
    return message;
  }
  Message call(Message message) { return call_and_wait(*connection_, std::move(message)); }
  std::future<CallResult> send(Message message, Deadline deadline = {}, std::stop_token stop = {}) {
    auto promise = std::make_shared<std::promise<CallResult>>();
    auto future = promise->get_future();
    connection_->call(std::move(message), deadline, std::move(stop),
                      [promise](CallResult result) { promise->set_value(std::move(result)); });
    return future;
  }
  template <class Condition>
  static void wait_until(const Worker& worker, Condition&& condition) {
    while (!condition(worker.stats())) std::this_thread::sleep_for(1ms);
  }

  TransportRegistry registry_ = testing::all_transports();
  Gate gate_;  // Outlives the workers, whose passes may still stand in it.
  ModelPtr model_;
  std::unique_ptr<Worker> last_;
  std::unique_ptr<Worker> middle_;
  std::unique_ptr<Connection> connection_;
};

TEST_P(WorkerForwardTest, AnswersWithItsOwnResultsAndThenThoseBehind) {
  for (const ModelPtr& model : testing::all_models()) {
    connection_.reset();
    middle_.reset();
    last_.reset();
    const std::string last = start_last(model);
    start_middle(model, {last});
    const Message reply = call(request({{last}}));
    expect_equal(reply.values, expected_results(*model));
    for (const char* step : {"queue", "slice", "run", "forward", "next.queue", "next.slice", "next.run"}) {
      ASSERT_TRUE(reply.times_s.contains(step)) << step;
      EXPECT_GE(reply.times_s.at(step), 0) << step;
    }
    EXPECT_FALSE(reply.times_s.contains("encode"));
    EXPECT_GE(reply.times_s.at("forward"), reply.times_s.at("next.run"));
    EXPECT_EQ(middle_->stats().forwarded, 1U);
    EXPECT_EQ(middle_->stats().forwarding, 0U);
  }
}

TEST_P(WorkerForwardTest, EncodesWhatItSendsOn) {
  const std::string last = start_last(testing::branch_model());
  start_middle(testing::branch_model(), {last});
  const Message reply = call(request({{last, "int8"}}));
  expect_equal(reply.values, expected_results(*model_, CodecRegistry::with_defaults().make("int8").get()));
  EXPECT_TRUE(reply.times_s.contains("encode"));
  EXPECT_TRUE(reply.times_s.contains("next.decode"));
}

TEST_P(WorkerForwardTest, TheNextTierIsToldWhatItNeeds) {
  std::promise<std::pair<Message, Deadline>> seen;
  const auto listener =
      registry_.listen(endpoint("last"), [&](Message message, CallContext context, Responder respond) {
        seen.set_value({message, context.deadline});
        Message reply;
        reply.kind = MessageKind::reply;
        reply.values = {Value(7)};
        respond(std::move(reply));
      });
  const NextHop hop{listener->address(), "f16"};
  start_middle(testing::chain_model(), {hop.endpoint});
  Message message = request({hop});
  message.request.stage.cuts.push_back({0, 1, 2, 3, 4, 5});
  const NextHop last{"tcp://a-third-worker:1", "int8"};
  message.request.next.push_back(last);
  message.trace = {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=value"};
  const auto begin = std::chrono::steady_clock::now();
  auto answer = send(message, begin + 600s);
  EXPECT_EQ(std::get<Message>(answer.get()).values.back().integer(), 7);
  const auto [found, deadline] = seen.get_future().get();
  StageRequest expected = message.request;
  expected.stage.index = 2;
  expected.codec = "f16";
  expected.next = {last};
  EXPECT_EQ(found.request, expected);
  EXPECT_EQ(found.trace, message.trace);
  ASSERT_TRUE(deadline.has_value());
  EXPECT_GT(*deadline, begin + 300s);
}

TEST_P(WorkerForwardTest, GoesOnlyWhereItMay) {
  const std::string last = start_last(testing::chain_model());
  start_middle(testing::chain_model(), {last});
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(request({{last + "/"}})); }, &words), ErrorCode::invalid_argument);
  EXPECT_NE(words.find("is not among"), std::string::npos) << words;
  const auto quoted = "\"" + last + "\"";
  EXPECT_EQ(words.find(quoted), std::string::npos) << words;
  EXPECT_EQ(thrown_code([&] { call(request({{last}, {last}})); }, &words), ErrorCode::invalid_argument);
  EXPECT_NE(words.find("1 stages behind"), std::string::npos) << words;
  Message profile = request({{last}});
  profile.request.operation = Operation::profile;
  EXPECT_EQ(thrown_code([&] { call(std::move(profile)); }), ErrorCode::invalid_argument);
  EXPECT_EQ(middle_->stats().stages_run, 0U);
  EXPECT_EQ(last_->stats().answered, 0U);
  EXPECT_EQ(call(request({{last}})).kind, MessageKind::reply);
}

TEST_P(WorkerForwardTest, EndpointsToForwardToAreCheckedAtOnce) {
  for (const char* wrong : {"", "edge", "carrier-pigeon://coop", "tcp:/127.0.0.1:7070"}) {
    WorkerOptions options;
    options.forward_to = {wrong};
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, std::string("'") + wrong + "' is no endpoint",
                       [&] { (void)Worker::create(options); }));
  }
}

TEST_P(WorkerForwardTest, ForwardsNothingUnlessItIsTold) {
  const std::string last = start_last(testing::chain_model());
  start_middle(testing::chain_model(), {});
  EXPECT_EQ(thrown_code([&] { call(request({{last}})); }), ErrorCode::invalid_argument);
  EXPECT_EQ(middle_->stats().stages_run, 0U);
}

TEST_P(WorkerForwardTest, PreparesTheNextTierToo) {
  const std::string last = start_last(testing::chain_model());
  start_middle(testing::chain_model(), {last});
  const Message reply = call(preparation({{last, "f16"}}));
  EXPECT_TRUE(reply.values.empty());
  EXPECT_TRUE(reply.times_s.contains("next.slice"));
  for (const Worker* worker : {middle_.get(), last_.get()}) {
    EXPECT_EQ(worker->stats().stages_run, 0U);
    EXPECT_EQ(worker->stats().cache.stages, 1U);
  }
  EXPECT_EQ(thrown_code([&] { call(preparation({{last, "no-such-codec"}})); }), ErrorCode::invalid_argument);
}

TEST_P(WorkerForwardTest, TablesOfACodecTravelToTheNextTier) {
  WorkerOptions options;
  options.codecs.add("tabled", [](const std::string&, const CodecTables& tables) {
    if (!tables) throw Error(ErrorCode::incompatible, "no tables");
    EXPECT_EQ(*tables, "tables");
    return CodecRegistry::with_defaults().make("f16");
  });
  const std::string last = start_last(testing::chain_model(), options);
  start_middle(testing::chain_model(), {last}, options);
  EXPECT_EQ(thrown_code([&] { call(request({{last, "tabled"}})); }), ErrorCode::incompatible);
  Message message = preparation({{last, "tabled"}});
  message.values.emplace_back(detail::to_byte_tensor("tables"));
  call(std::move(message));
  EXPECT_EQ(call(request({{last, "tabled"}})).kind, MessageKind::reply);
}

TEST_P(WorkerForwardTest, LeavesOutStagesWithoutLayersThatGetNothing) {
  const std::string last = start_last(testing::chain_model());
  start_middle(testing::chain_model(), {last});
  const LayerSet all = {0, 1, 2, 3, 4, 5, 6, 7};
  Message message = request({{last}});
  message.request.stage.cuts.back() = all;
  ASSERT_EQ(model_->layers().layers.size(), all.size());
  EXPECT_EQ(call(message).values.size(), 2U);
  message.request.operation = Operation::prepare;
  message.values.clear();
  EXPECT_TRUE(call(message).values.empty());
  EXPECT_EQ(middle_->stats().forwarded, 0U);
}

TEST_P(WorkerForwardTest, ItsThreadIsFreeWhileTheNextTierWorks) {
  const std::string last = start_last({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  start_middle(testing::chain_model(), {last});
  auto forwarded = send(request({{last}}));
  gate_.wait_for(1);
  EXPECT_EQ(call(request({})).kind, MessageKind::reply) << "one that stays here";
  const WorkerStats stats = middle_->stats();
  EXPECT_EQ(stats.forwarding, 1U);
  EXPECT_FALSE(middle_->drain(1ms)) << "the answer is still to come";
  gate_.open();
  EXPECT_TRUE(middle_->drain(60s));
  expect_equal(std::get<Message>(forwarded.get()).values, expected_results(*model_));
}

TEST_P(WorkerForwardTest, CountsTheBytesOfARequestUntilTheNextTierHasAnswered) {
  const std::string last = start_last({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  start_middle(testing::chain_model(), {last}, {.max_queued_bytes = 200});
  auto forwarded = send(request({{last}}));
  gate_.wait_for(1);
  EXPECT_EQ(thrown_code([&] { call(request({})); }), ErrorCode::overloaded);
  gate_.open();
  EXPECT_EQ(std::get<Message>(forwarded.get()).kind, MessageKind::reply);
  EXPECT_TRUE(middle_->drain(60s));
}

TEST_P(WorkerForwardTest, PassesACancelOn) {
  std::atomic<int> passes = 0;
  const std::string last = start_last({.on_run = [&](const StageInfo&) {
    ++passes;
    gate_.pass();
  }});
  start_middle(testing::chain_model(), {last});
  auto running = send(request({{last}}, 1));
  gate_.wait_for(1);
  std::stop_source stop;
  auto cancelled = send(request({{last}}, 2), {}, stop.get_token());
  wait_until(*last_, [](const WorkerStats& stats) { return stats.queued == 1; });
  stop.request_stop();
  EXPECT_EQ(code_of(cancelled.get()), ErrorCode::cancelled);
  wait_until(*middle_, [](const WorkerStats& stats) { return stats.forwarding == 1; });
  // Behind the cancel, on the same road; over HTTP on two sockets, one for each of the listener's threads.
  auto third = send(request({{last}}, 3));
  auto fourth = send(request({{last}}, 4));
  wait_until(*last_, [](const WorkerStats& stats) { return stats.queued == 3; });
  gate_.open();
  for (auto* result : {&running, &third, &fourth}) EXPECT_EQ(std::get<Message>(result->get()).kind, MessageKind::reply);
  EXPECT_EQ(last_->stats().failed, 1U);
  EXPECT_EQ(passes, 3);
}

TEST_P(WorkerForwardTest, PassesErrorsOnAndSaysWhoseTheyAre) {
  const std::string last = start_last(Hooks{.fingerprint = "another"});
  start_middle(testing::chain_model(), {last});
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(request({{last}})); }, &words), ErrorCode::incompatible);
  EXPECT_NE(words.find("next tier " + last), std::string::npos) << words;
  EXPECT_NE(words.find("another"), std::string::npos) << words;
}

TEST_P(WorkerForwardTest, PassesOnWhenToTryAgain) {
  const auto listener =
      registry_.listen(endpoint("last"), [](const Message&, const CallContext&, const Responder& respond) {
        respond(Message::make_error(Error(ErrorCode::overloaded, "full", 1.5)));
      });
  start_middle(testing::chain_model(), {listener->address()});
  const auto error = testing::error_of([&] { call(request({{listener->address()}})); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::overloaded);
  EXPECT_EQ(error->retry_after_s(), 1.5);
}

TEST_P(WorkerForwardTest, ServesOnWithoutANextTierAndFindsItWhenItIsThere) {
  if (GetParam().ends_with(":0")) return;  // Its address is not known before.
  const std::string last = endpoint("last");
  start_middle(testing::chain_model(), {last});
  std::string words;
  EXPECT_EQ(thrown_code([&] { call(request({{last}})); }, &words), ErrorCode::unavailable);
  EXPECT_NE(words.find(last), std::string::npos) << words;
  EXPECT_EQ(call(request({})).kind, MessageKind::reply);
  EXPECT_EQ(start_last(testing::chain_model()), last);
  expect_equal(call(request({{last}})).values, expected_results(*model_));
}

TEST_P(WorkerForwardTest, EndsWhatWaitsForTheNextTierWhenItCloses) {
  const std::string last = start_last({.on_run = [this](const StageInfo&) { gate_.pass(); }});
  start_middle(testing::chain_model(), {last});
  auto forwarded = send(request({{last}}));
  gate_.wait_for(1);
  middle_->close();
  EXPECT_EQ(code_of(forwarded.get()), ErrorCode::unavailable);
  EXPECT_EQ(middle_->stats().forwarding, 0U);
  gate_.open();
}

INSTANTIATE_TEST_SUITE_P(Transports, WorkerForwardTest, ::testing::ValuesIn(testing::all_endpoints("forward")),
                         [](const auto& test) { return testing::scheme_of(test.param); });

TEST(WorkerForward, GoesThroughAsManyTiersAsThereAre) {
  const auto registry = TransportRegistry::with_defaults();
  const auto model = testing::chain_model();
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<std::string> addresses;
  std::vector<LayerSet> heads;
  for (std::size_t i = 0; i < 4; ++i) {
    heads.push_back(model->layers().resolve(Cut::after_index(2 * i)));
    WorkerOptions options;
    options.forward_to = addresses;
    options.registry = registry;  // Names of inproc are those of one registry.
    workers.push_back(Worker::create(options));
    workers.back()->add_model("net", model);
    addresses.insert(addresses.begin(), workers.back()->serve(registry, "inproc://tier-" + std::to_string(i)));
  }
  const auto head = model->make_stage({heads, 0});
  Message message;
  message.request = {"", model->fingerprint(), {heads, 1}};
  for (std::size_t i = 1; i < addresses.size(); ++i) message.request.next.push_back({addresses[i]});
  message.values = boundary_of(head->run(testing::inputs_of(1)), head->info());
  const Message reply = call_and_wait(*registry.connect(addresses.front()), std::move(message));
  Value expected = testing::uncut(*model, 1);
  ASSERT_EQ(reply.values.size(), 2U);  // The branch's result comes before the last layer's.
  EXPECT_TRUE(bit_identical(reply.values[1], expected.get_if<Tuple>()->items[0]));
  EXPECT_TRUE(bit_identical(reply.values[0], expected.get_if<Tuple>()->items[1]));
  EXPECT_TRUE(reply.times_s.contains("next.next.next.run"));
}

TEST(WorkerForward, ShowsItsOwnTokenAndNotItsCallers) {
  const auto registry = TransportRegistry::with_defaults();
  const auto model = testing::chain_model();
  const auto last = Worker::create();
  last->add_model("net", model);
  ListenOptions listening;
  listening.token = "the-token-of-the-last-one";
  const std::string address = last->serve(registry, "tcp://127.0.0.1:0", listening);
  for (const std::string& token : {listening.token, std::string("another-token-than-that")}) {
    WorkerOptions options;
    options.forward_to = {address};
    options.connect.token = token;
    const auto middle = Worker::create(options);
    middle->add_model("net", model);
    const auto connection = registry.connect(middle->serve(registry, "inproc://middle"));
    Message message;
    message.request = {"net", model->fingerprint(), {cuts(), 1}, Operation::run, "raw", {{address}}};
    message.values = first_boundary(*model);
    if (token == listening.token) {
      EXPECT_EQ(call_and_wait(*connection, message).kind, MessageKind::reply);
    } else {
      EXPECT_TRUE(throws(ErrorCode::unavailable, address, [&] { call_and_wait(*connection, message); }));
    }
  }
}

}  // namespace
}  // namespace splitnet
