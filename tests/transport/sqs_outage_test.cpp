// SPDX-License-Identifier: Apache-2.0
// What of requests becomes when a worker, or what it needs, is out of service for a while.
#include <algorithm>
#include <atomic>
#include <thread>

#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/worker.hpp"
#include "sqs_fixture.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::SqsStandIn;
using testing::start_call;
using testing::thrown_code;

class SqsOutage : public testing::SqsFixture {
 protected:
  static std::unique_ptr<Worker> serve(const std::shared_ptr<const Model>& model, const SqsOptions& options) {
    TransportRegistry registry;
    registry.add("sqs", make_sqs_transport(options));
    auto worker = Worker::create({});
    worker->add_model("net", model);
    worker->serve(registry, testing::work);
    return worker;
  }
};

/// What waits at a worker that is closed goes back to the queue also at its last delivery, not to the dead-letter
/// queue. But that one counts: only a worker that allows more does it.
TEST_F(SqsOutage, ClosingAWorkerIsNoFailureOfWhatItHolds) {
  testing::Gate gate;
  const auto model = std::make_shared<testing::HookedModel>(
      testing::chain_model(), testing::Hooks{.on_run = [&](const StageInfo&) { gate.pass(); }});
  auto once = options();
  once.max_deliveries = 1;
  once.max_in_flight = 2;
  const auto worker = serve(model, once);
  Connection& connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 2; ++i) {
    Message request = request_with(testing::inputs_of(i));
    request.request = {"net", model->fingerprint(), {}};
    outcomes.push_back(start_call(connection, request));
  }
  gate.wait_for(1);
  ASSERT_TRUE(sqs.wait_until([&] { return worker->stats().queued == 1; }));
  std::thread closer([&] { worker->close(); });
  EXPECT_TRUE(sqs.wait_until([&] {
    const auto messages = sqs.messages("work");
    return std::all_of(messages.begin(), messages.end(), [](const auto& message) { return !message.is_hidden; });
  })) << "given back";
  gate.open();
  closer.join();
  EXPECT_THAT(sqs.messages("work"), SizeIs(2));
  EXPECT_THAT(sqs.messages("work-dead"), IsEmpty());
  auto twice = options();
  twice.max_deliveries = 2;
  listen(echo, twice);
  for (const auto& outcome : outcomes) EXPECT_NE(outcome.message(), nullptr);
}

/// FAULTS 40: who has no memory for a request has it done later, by himself or another.
TEST_F(SqsOutage, AWorkerWithoutMemoryGivesBackAndGoesOn) {
  std::atomic<int> runs = 0;
  const auto model =
      std::make_shared<testing::HookedModel>(testing::chain_model(), testing::Hooks{.on_run = [&](const StageInfo&) {
                                               if (runs++ == 0) throw std::bad_alloc();
                                             }});
  auto one = options();
  one.max_in_flight = 1;  // None of its polls is under way, which would take away what is given back.
  const auto worker = serve(model, one);
  Message request = request_with(testing::inputs_of(0));
  request.request = {"net", model->fingerprint(), {}};
  const auto outcome = start_call(connect(), request);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ChangeMessageVisibilityBatch").size() == 1; }))
      << "it was not given back";
  EXPECT_EQ(sqs.requests("ChangeMessageVisibilityBatch")[0].at("document").at("Entries")[0].at("VisibilityTimeout"), 2);
  sqs.pass_time(10s);
  ASSERT_NE(outcome.message(), nullptr) << to_string(*outcome.error());
  const auto expected = testing::chain_model()->make_stage({})->run(testing::inputs_of(0));
  ASSERT_EQ(outcome.message()->values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(bit_identical(outcome.message()->values[i], expected[i])) << i;
  }
  EXPECT_EQ(runs, 2);
  worker->close();
}

/// SQS needs a second and more before a new queue is there for everybody.
TEST_F(SqsOutage, AQueueForAnswersMayAppearLate) {
  listen();
  sqs.queues_appear_after = 1500ms;
  const auto outcome = start_call(connect(), request_with({Value(7)}));
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 7);
}

TEST_F(SqsOutage, WhatADeadLetterQueueTakesIsItsOwn) {
  sqs.make_queue("work-dead", {{"MaximumMessageSize", "4096"}});
  listen();
  const auto text = [](const std::string& value) { return Json{{"DataType", "String"}, {"StringValue", value}}; };
  sqs.send("work", std::string(100'000, 'x'));
  sqs.send("work", "hello", {{"request", text(std::string(900'000, 'x'))}, {"other", text(std::string(10'000, 'x'))}});
  sqs.send("work", "hello", {{"reason", text("mine")}, {"deliveries", text("mine")}});
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  const auto dead = sqs.messages("work-dead");
  ASSERT_THAT(dead, SizeIs(3));
  for (const auto& one : dead) EXPECT_THAT(attribute(one, "reason"), HasSubstr("not a request of splitnet"));
}

/// Nobody can put it there: it goes, and others take its place.
TEST_F(SqsOutage, WhatTheDeadLetterQueueRefusesDoesNotGoRound) {
  sqs.make_queue("work-dead");
  listen();
  sqs.remove_queue("work-dead");
  sqs.make_queue("work-dead", {{"MaximumMessageSize", "1024"}});
  sqs.send("work", std::string(100'000, 'x'));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_THAT(call_and_wait(connect(), request_with({Value(1)})).values, SizeIs(1));
}

/// What is between says no, which is no word about the message.
TEST_F(SqsOutage, WhatAProxyRefusesIsNotLost) {
  sqs.make_queue("work-dead");
  sqs.fail(Fault::not_found, 2, "SendMessageBatch", "work-dead");
  listen();
  sqs.send("work", "hello");
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_THAT(sqs.messages("work-dead"), SizeIs(1));
}

TEST_F(SqsOutage, AnAnswerThatIsNotOfSqsIsNone) {
  for (const char* const action : {"GetQueueUrl", "CreateQueue", "GetQueueAttributes"}) {
    sqs.fail(Fault::no_json, 1, action);
    EXPECT_EQ(thrown_code([&] { connect(); }), ErrorCode::unavailable) << action;
    sqs.heal();
  }
}

/// However soon a server says that there is nothing.
TEST_F(SqsOutage, AnEmptyQueueIsAskedOnceASecond) {
  auto hasty = options();
  hasty.wait_time = 0s;
  const auto began = std::chrono::steady_clock::now();
  listen(echo, hasty);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ReceiveMessage").size() >= 3; }));
  EXPECT_GE(std::chrono::steady_clock::now() - began, 2s);
}

TEST_F(SqsOutage, AHidingThatHangsIsTriedAgainInTime) {
  auto brief = options();
  brief.visibility_timeout = 4s;
  listen(held.handler(), brief);
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  sqs.fail(Fault::hangs, 1, "ChangeMessageVisibilityBatch");
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ChangeMessageVisibilityBatch").size() >= 2; }));
  EXPECT_EQ(sqs.messages("work").at(0).deliveries, 1) << "long before the thirty seconds of other requests";
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  EXPECT_NE(outcome.message(), nullptr);
}

/// However soon a server says no.
TEST_F(SqsOutage, AHidingThatIsRefusedIsTriedAgainAfterAPause) {
  auto brief = options();
  brief.visibility_timeout = 2s;
  sqs.fail(Fault::denied, 1'000'000, "ChangeMessageVisibilityBatch");
  const auto began = std::chrono::steady_clock::now();
  listen(held.handler(), brief);
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").at(0).deliveries == 2; })) << "hidden no more";
  const auto tried = sqs.requests("ChangeMessageVisibilityBatch").size();
  const auto passed = std::chrono::steady_clock::now() - began;
  EXPECT_GE(tried, 2U);
  EXPECT_LE(tried, static_cast<std::size_t>(passed / 250ms) + 1);
  sqs.heal();
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  EXPECT_NE(outcome.message(), nullptr);
}

/// The one that can do nothing is always free; it must not use up what the other one could do. With a place left it is
/// asking already when it fails.
TEST_F(SqsOutage, ABrokenWorkerLeavesRequestsToOthers) {
  for (const std::size_t places : {1, 2}) {
    SCOPED_TRACE(places);
    auto some = options();
    some.max_in_flight = places;
    std::atomic<int> failed = 0;
    listen(
        [&](const Message&, const CallContext&, const Responder& respond) {
          ++failed;
          respond(Message::make_error(Error(ErrorCode::unavailable, "the next tier is gone")));
        },
        some);
    Connection& connection = connect();
    std::vector<Outcome> outcomes;
    for (int i = 0; i < 6; ++i) outcomes.push_back(start_call(connection, request_with({Value(i)})));
    ASSERT_TRUE(sqs.wait_until([&] { return failed >= 3; }));
    listen(echo, some);
    for (const auto& outcome : outcomes) {
      const auto* const reply = outcome.message();
      ASSERT_NE(reply, nullptr);
      EXPECT_EQ(reply->kind, MessageKind::reply) << reply->error_message;
    }
    EXPECT_THAT(sqs.messages("work-dead"), IsEmpty());
    listeners.clear();
  }
}

/// One that asks for its other place breaks that off: else it would have what others could do all the same.
TEST_F(SqsOutage, ABrokenWorkerGivesUpThePollUnderWay) {
  const auto polls = [&](const char* queue) {
    const auto all = sqs.requests("ReceiveMessage");
    return std::count_if(all.begin(), all.end(), [&](const Json& poll) {
      return poll.at("document").at("QueueUrl").get<std::string>().find(queue) != std::string::npos;
    });
  };
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  ASSERT_TRUE(sqs.wait_until([&] { return polls("/work-replies-") == 1; })) << "so that it is not the one to hang";
  const auto polls_of_worker = [&] { return polls("/work") - polls("/work-replies-"); };
  listen([&](Message request, const CallContext& context, const Responder& respond) {
    if (polls_of_worker() == 1) sqs.fail(Fault::hangs, 1, "ReceiveMessage");
    held.handler()(std::move(request), context, respond);
  });
  ASSERT_TRUE(held.wait_for(1));
  ASSERT_TRUE(sqs.wait_until([&] { return polls_of_worker() == 2; }));
  for (auto& item : held.take()) item.respond(Message::make_error(Error(ErrorCode::unavailable, "no next tier")));
  EXPECT_TRUE(sqs.wait_until([&] { return polls_of_worker() == 3; })) << "the one that hangs was waited for";
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  EXPECT_NE(outcome.message(), nullptr);
}

/// Moto, for one, gives a request also to a question that was broken off, and then nobody has it for a while. One that
/// soon ends by itself is waited for.
TEST_F(SqsOutage, WhatTheLastPollBringsIsGivenBack) {
  auto brief = options();
  brief.wait_time = 1s;
  brief.visibility_timeout = 10min;
  sqs.fail(Fault::late, 1, "ReceiveMessage");
  Listener& first = listen(held.handler(), brief);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ReceiveMessage").size() == 1; }));
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 1; }));
  std::thread closing([&] { first.close(); });
  std::this_thread::sleep_for(100ms);  // Until it has begun; else the request is given back by another way.
  sqs.heal();
  closing.join();
  EXPECT_FALSE(sqs.messages("work").at(0).is_hidden);
  listen();
  EXPECT_NE(outcome.message(), nullptr);
}

/// Likewise of one that can't do what it takes.
TEST_F(SqsOutage, WhatABrokenWorkersPollBringsIsGivenBack) {
  auto brief = options();
  brief.wait_time = 1s;
  brief.visibility_timeout = 10min;
  brief.max_deliveries = 100;
  const Error broken(ErrorCode::unavailable, "the next tier is gone");
  std::atomic<bool> is_first = true;
  Connection& connection = connect();
  const auto failed = start_call(connection, request_with({Value(1)}));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ReceiveMessage").size() == 1; })) << "the caller's";
  listen(
      [&](Message request, const CallContext& context, const Responder& respond) {
        if (!is_first.exchange(false)) return respond(Message::make_error(broken));
        sqs.fail(Fault::late, 1, "ReceiveMessage");
        held.handler()(std::move(request), context, respond);
      },
      brief);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ReceiveMessage").size() == 3; })) << "for its other place";
  held.take().at(0).respond(Message::make_error(broken));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ChangeMessageVisibilityBatch").size() == 1; }));
  const auto brought = start_call(connection, request_with({Value(2)}));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 2; }));
  sqs.heal();
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ChangeMessageVisibilityBatch").size() >= 2; }));
  listeners.clear();
  listen();
  EXPECT_NE(brought.message(), nullptr);
  sqs.pass_time(10s);
  EXPECT_NE(failed.message(), nullptr);
}

TEST_F(SqsOutage, QueuesWhoseMessagesHoldNoErrorAreRefused) {
  sqs.remove_queue("work");
  sqs.make_queue("work", {{"MaximumMessageSize", "1024"}});
  EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "4096", [&] { connect(); }));
  EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "4096", [&] { listen(); }));
}

}  // namespace
}  // namespace splitnet
