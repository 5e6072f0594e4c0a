// SPDX-License-Identifier: Apache-2.0
// Requests of a queue that the event source of AWS Lambda hands to a function.
#include <random>

#include "aws/lambda_stand_in.hpp"
#include "damaged_bytes.hpp"
#include "splitnet/transport/lambda_runtime.hpp"
#include "sqs_fixture.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::iota_u8;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::SqsStandIn;
using testing::start_call;

/// A function in this process, and its event source mapping with ReportBatchItemFailures.
class SqsEvent : public testing::SqsFixture {
 protected:
  ~SqsEvent() override { function.reset(); }
  void be_function(Handler handler = echo) {
    function = make_lambda_runtime_transport({.aws = sqs.options(), .store = options().store})
                   ->listen(lambda.runtime(), std::move(handler), {});
  }
  std::vector<SqsStandIn::Message> take(std::size_t count) {
    std::vector<SqsStandIn::Message> taken;
    EXPECT_TRUE(sqs.wait_until([&] {
      while (taken.size() < count) {
        auto message = sqs.take("work");
        if (!message) return false;
        taken.push_back(*std::move(message));
      }
      return true;
    }));
    return taken;
  }
  static Json event_of(const std::vector<SqsStandIn::Message>& messages) {
    Json records = Json::array();
    for (const auto& message : messages) {
      Json attributes = Json::object();
      for (const auto& [name, value] : message.attributes.items()) {
        attributes[name] = {{"stringValue", value.at("StringValue")},
                            {"stringListValues", Json::array()},
                            {"binaryListValues", Json::array()},
                            {"dataType", value.at("DataType")}};
      }
      records.push_back({{"messageId", message.id},
                         {"receiptHandle", "AQEB"},
                         {"body", message.body},
                         {"attributes",
                          {{"ApproximateReceiveCount", std::to_string(message.deliveries)},
                           {"SentTimestamp", std::to_string(message.sent_ms)},
                           {"SenderId", "AIDAIENQZJOLO23YVJ4VO"},
                           {"ApproximateFirstReceiveTimestamp", std::to_string(message.first_received_ms)}}},
                         {"messageAttributes", attributes},
                         {"md5OfBody", "e4e68fb7bd0e697a0ae8f1bb342846b3"},
                         {"eventSource", "aws:sqs"},
                         {"eventSourceARN", "arn:aws:sqs:eu-central-1:123456789012:work"},
                         {"awsRegion", "eu-central-1"}});
    }
    return {{"Records", records}};
  }
  /// Gives those that shall come again; the others are deleted.
  std::vector<std::string> deliver(const std::vector<SqsStandIn::Message>& messages) {
    const std::string text = lambda.invoke(event_of(messages).dump());
    const Json answer = Json::parse(text, nullptr, false);
    if (!answer.is_object() || !answer.contains("batchItemFailures")) {
      ADD_FAILURE() << text;
      return {};
    }
    std::vector<std::string> failed;
    for (const Json& failure : answer.at("batchItemFailures")) failed.push_back(failure.at("itemIdentifier"));
    for (const auto& message : messages) {
      if (std::find(failed.begin(), failed.end(), message.id) == failed.end()) sqs.remove("work", message.id);
    }
    return failed;
  }

  testing::LambdaStandIn lambda;
  std::unique_ptr<Listener> function;
};

TEST_F(SqsEvent, EachRequestIsAnsweredToItsCaller) {
  be_function();
  Connection& first = connect();
  Connection& second = connect();
  const std::vector<Outcome> outcomes{start_call(first, request_with({Value(0)})),
                                      start_call(second, request_with({Value(1)})),
                                      start_call(first, request_with({iota_u8(2'000'000)}))};
  EXPECT_THAT(deliver(take(3)), IsEmpty());
  for (const auto& outcome : outcomes) ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcomes[0].message()->values.at(0).integer(), 0);
  EXPECT_EQ(outcomes[1].message()->values.at(0).integer(), 1);
  EXPECT_TRUE(bit_identical(outcomes[2].message()->values.at(0), Value(iota_u8(2'000'000))));
}

TEST_F(SqsEvent, WhatCanNotBeDoneNowComesAgain) {
  std::atomic<bool> is_full = true;
  be_function([&](Message request, const CallContext& context, const Responder& respond) {
    if (is_full && request.values.at(0).integer() == 1) throw Error(ErrorCode::overloaded, "full");
    echo(std::move(request), context, respond);
  });
  Connection& connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 3; ++i) {
    outcomes.push_back(start_call(connection, request_with({Value(i)})));
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == outcomes.size(); }));
  }
  const auto taken = take(3);
  EXPECT_THAT(deliver(taken), ElementsAre(taken[1].id));
  EXPECT_NE(outcomes[0].message(), nullptr);
  EXPECT_NE(outcomes[2].message(), nullptr);
  EXPECT_EQ(outcomes[1].count(), 0);
  is_full = false;
  sqs.pass_time(31s);
  EXPECT_THAT(deliver(take(1)), IsEmpty());
  EXPECT_NE(outcomes[1].message(), nullptr);
}

TEST_F(SqsEvent, PoisonIsDead) {
  be_function();
  const auto outcome = start_call(connect(), request_with({}));
  auto taken = take(1);
  for (int i = 0; i < 10; ++i) {  // Ten functions have died of it.
    sqs.pass_time(31s);
    taken = take(1);
  }
  EXPECT_THAT(deliver(taken), IsEmpty());
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->error, ErrorCode::internal);
  sqs.send("work", "hello");
  EXPECT_THAT(deliver(take(1)), IsEmpty());
  const auto dead = sqs.messages("work-dead");
  ASSERT_THAT(dead, SizeIs(2));
  EXPECT_THAT(attribute(dead[0], "reason"), HasSubstr("10 deliveries"));
  EXPECT_THAT(attribute(dead[1], "reason"), HasSubstr("not a request of splitnet"));
}

TEST_F(SqsEvent, WhatIsNotDoneWhenTheInvocationEndsComesAgain) {
  lambda.time_limit = 2s;
  std::atomic<bool> answers = false;
  be_function([&](Message request, const CallContext& context, const Responder& respond) {
    if (answers) return echo(std::move(request), context, respond);
    held.handler()(std::move(request), context, respond);
  });
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  const auto taken = take(1);
  EXPECT_THAT(deliver(taken), ElementsAre(taken[0].id));
  EXPECT_EQ(outcome.count(), 0);
  for (auto& item : held.take()) item.respond(reply_with({Value(2)}));  // Too late.
  lambda.time_limit = 20s;
  answers = true;
  sqs.pass_time(31s);
  EXPECT_THAT(deliver(take(1)), IsEmpty());
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 1);
}

/// A caller's deadline is his own, an invocation's end is not.
TEST_F(SqsEvent, TheEndOfAnInvocationIsNotTheCallersDeadline) {
  be_function([](const Message&, const CallContext& context, const Responder& respond) {
    EXPECT_TRUE(context.deadline);
    respond(Message::make_error(Error(ErrorCode::deadline_exceeded, "too little time")));
  });
  const auto outcome = start_call(connect(), request_with({}), std::chrono::steady_clock::now() + 1h);
  const auto taken = take(1);
  EXPECT_THAT(deliver(taken), ElementsAre(taken[0].id));
  EXPECT_EQ(outcome.count(), 0);
}

TEST_F(SqsEvent, NorIsItWhenTheStoreKeepsItWaiting) {
  lambda.time_limit = 2s;
  be_function();
  const auto outcome = start_call(connect(), request_with({iota_u8(2'000'000)}), std::chrono::steady_clock::now() + 1h);
  const auto taken = take(1);
  sqs.store.hangs = true;
  EXPECT_THAT(deliver(taken), ElementsAre(taken[0].id));
  EXPECT_EQ(outcome.count(), 0);
  sqs.store.hangs = false;
  sqs.store.let_go();
  lambda.time_limit = 20s;
  sqs.pass_time(31s);
  EXPECT_THAT(deliver(take(1)), IsEmpty());
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->kind, MessageKind::reply) << outcome.message()->error_message;
}

/// The time that it was in the queue counts, by the function's clock where SQS tells no time of this delivery.
TEST_F(SqsEvent, WhatIsLateInTheQueueIsDeletedUnseen) {
  std::atomic<int> handled = 0;
  be_function([&](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  });
  Connection& connection = connect();
  const auto late = start_call(connection, request_with({}), std::chrono::steady_clock::now() + 30min);
  auto taken = take(1);
  constexpr std::int64_t hour_ms = 3'600'000;
  taken[0].sent_ms -= hour_ms;
  taken[0].first_received_ms -= hour_ms;
  taken[0].deliveries = 2;
  EXPECT_THAT(deliver(taken), IsEmpty());
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(late.count(), 0);
  const auto next = start_call(connection, request_with({Value(1)}), std::chrono::steady_clock::now() + 30min);
  taken = take(1);
  taken[0].deliveries = 2;
  EXPECT_THAT(deliver(taken), IsEmpty());
  EXPECT_NE(next.message(), nullptr);
  EXPECT_EQ(handled, 1);
}

/// What is delivered again while its answer is on its way is not deleted before the answer has arrived.
TEST_F(SqsEvent, OnItsWayIsNotAnswered) {
  lambda.time_limit = 2s;
  std::atomic<int> handled = 0;
  be_function([&](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  });
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  const auto taken = take(1);
  sqs.fail(Fault::denied, 1'000'000, "SendMessageBatch", "work-replies-");
  EXPECT_THAT(deliver(taken), ElementsAre(taken[0].id));
  EXPECT_THAT(deliver(taken), ElementsAre(taken[0].id));
  sqs.heal();
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_TRUE(sqs.wait_until([&] { return deliver(taken).empty(); })) << "as soon as it is known to have arrived";
  EXPECT_EQ(handled, 1);
}

/// Nor does it come again because its caller can't be told.
TEST_F(SqsEvent, WhatIsInTheDeadLetterQueueIsDone) {
  lambda.time_limit = 2s;
  be_function();
  auto request = request_on_the_queue();
  request.attributes["reply"]["StringValue"] = "nobody";
  sqs.send("work", R"({"splitnet":"AAAA"})", request.attributes);
  sqs.fail(Fault::denied, 1'000'000, "SendMessageBatch", "work-replies-");
  EXPECT_THAT(deliver(take(1)), IsEmpty());
  EXPECT_THAT(sqs.messages("work-dead"), SizeIs(1));
}

TEST_F(SqsEvent, DamagedEventsLeaveTheFunctionWell) {
  be_function();
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  const auto taken = take(1);
  const std::string event = event_of(taken).dump();
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::byte> bytes(event.size());
    std::memcpy(bytes.data(), event.data(), event.size());
    bytes = testing::damaged(std::move(bytes), round, random);
    (void)lambda.invoke(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  const auto next = start_call(connect(), request_with({Value(2)}));
  EXPECT_THAT(deliver(take(1)), IsEmpty());
  ASSERT_NE(next.message(), nullptr);
  EXPECT_EQ(next.message()->values.at(0).integer(), 2);
  EXPECT_LE(outcome.count(), 1);
}

}  // namespace
}  // namespace splitnet
