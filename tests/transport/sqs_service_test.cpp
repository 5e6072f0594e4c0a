// SPDX-License-Identifier: Apache-2.0
// What a service may refuse, never answer, or have gone without a word, one of its actions at a time.
#include <atomic>
#include <future>
#include <mutex>

#include "sqs_fixture.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using testing::echo;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::start_call;
using testing::thrown_code;

constexpr int kAlways = 1'000'000;

class SqsService : public testing::SqsFixture {
 protected:
  /// Of queues for answers, made or only asked for.
  [[nodiscard]] std::vector<std::string> asked_for() const {
    std::vector<std::string> names;
    for (const Json& request : sqs.requests("CreateQueue")) {
      const std::string name = request.at("document").at("QueueName");
      if (name.starts_with("work-replies-")) names.push_back(name);
    }
    return names;
  }
  static void expect_answered(const Outcome& outcome, std::int64_t value) {
    const auto* const reply = outcome.message();
    ASSERT_NE(reply, nullptr) << (outcome.error() ? to_string(*outcome.error()) : "no answer at all");
    ASSERT_EQ(reply->kind, MessageKind::reply) << reply->error_message;
    EXPECT_EQ(reply->values.at(0).integer(), value);
    EXPECT_EQ(outcome.count(), 1);
  }
  void answer_held() {
    for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  }
  /// For the tests' log: what each record says, and how many it speaks for besides.
  ListenOptions logged() {
    ListenOptions limits;
    limits.log = [this](const LogRecord& record) {
      const std::lock_guard lock(mutex);
      log.emplace_back(record.message);
      levels.push_back(record.level);
    };
    return limits;
  }

  std::mutex mutex;
  std::vector<std::string> log;
  std::vector<LogLevel> levels;
};

// ---- answers that get lost -----------------------------------------------------------------------

/// It may be in the queue or not: by the same name it is sent until that is known, and answered once.
TEST_F(SqsService, ARequestWhoseSendingIsNotAnsweredIsSentAgain) {
  std::atomic<int> handled = 0;
  listen([&](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  });
  Connection& connection = connect();
  std::int64_t value = 0;
  for (const Fault fault :
       {Fault::answer_lost, Fault::dropped, Fault::out_of_service, Fault::no_json, Fault::entries_fail}) {
    sqs.fail(fault, 2, "SendMessageBatch");
    ++value;
    expect_answered(start_call(connection, request_with({Value(value)})), value);
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
    sqs.heal();
  }
  EXPECT_EQ(handled, value) << "and done once";
}

TEST_F(SqsService, ASendingThatIsNeverAnsweredEndsItsCall) {
  Connection& connection = connect();
  sqs.fail(Fault::out_of_service, kAlways, "SendMessageBatch");
  const auto outcome = start_call(connection, request_with({}));
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_GT(sqs.requests("SendMessageBatch").size(), 2U);
  ConnectOptions once;
  once.reconnect.enabled = false;
  Connection& other = connect(options(), once);
  const auto before = sqs.requests("SendMessageBatch").size();
  EXPECT_EQ(start_call(other, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_EQ(sqs.requests("SendMessageBatch").size(), before + 1);
}

/// Nobody else would ever remove it.
TEST_F(SqsService, AQueueWhoseMakingIsNotAnsweredIsRemoved) {
  for (const Fault fault : {Fault::answer_lost, Fault::no_json}) {
    sqs.fail(fault, kAlways, "CreateQueue");
    EXPECT_EQ(thrown_code([&] { connect(); }), ErrorCode::unavailable);
    EXPECT_THAT(reply_queues(), IsEmpty());
    sqs.heal();
  }
  EXPECT_GE(asked_for().size(), 2U);
}

TEST_F(SqsService, AQueueWhoseMakingIsNotAnsweredIsMadeOnce) {
  listen();
  Connection& connection = connect();
  expect_answered(start_call(connection, request_with({Value(1)})), 1);
  sqs.remove_queue(reply_queues().at(0));
  sqs.fail(Fault::no_json, 1, "CreateQueue");
  sqs.fail(Fault::throttled, 1, "CreateQueue");
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable) << "its queue was gone";
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable) << "the next one is not known";
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::overloaded) << "nor is it now";
  expect_answered(start_call(connection, request_with({Value(2)})), 2);
  const auto names = asked_for();
  ASSERT_THAT(names, SizeIs(4));
  EXPECT_NE(names[1], names[0]) << "a name that was in use is refused for a minute";
  EXPECT_EQ(names[2], names[1]);
  EXPECT_EQ(names[3], names[1]);
  EXPECT_THAT(reply_queues(), ElementsAre(names[1]));
}

TEST_F(SqsService, AQueueWhoseMakingIsNotAnsweredIsRemovedAtTheEnd) {
  listen();
  Connection& connection = connect();
  expect_answered(start_call(connection, request_with({Value(1)})), 1);
  sqs.remove_queue(reply_queues().at(0));
  sqs.fail(Fault::no_json, 1, "CreateQueue");
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_THAT(reply_queues(), SizeIs(1));
  connections.clear();
  EXPECT_THAT(reply_queues(), IsEmpty());
}

/// On the connection's own thread nobody can wait for it.
TEST_F(SqsService, AQueueThatIsBeingMadeWhenACompletionEndsItsConnectionIsRemoved) {
  listen();
  auto connection = make_sqs_transport(options())->connect(testing::work, {});
  expect_answered(start_call(*connection, request_with({Value(1)})), 1);
  sqs.remove_queue(reply_queues().at(0));
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  sqs.fail(Fault::late, 1, "CreateQueue");
  std::stop_source stop;
  std::promise<void> has_ended;
  connection->call(request_with({}), {}, stop.get_token(), [&](const CallResult&) {
    connection.reset();
    has_ended.set_value();
  });
  ASSERT_TRUE(sqs.wait_until([&] { return asked_for().size() == 2; }));
  stop.request_stop();
  ASSERT_EQ(has_ended.get_future().wait_for(testing::kLongTime), std::future_status::ready);
  EXPECT_THAT(sqs.requests("DeleteQueue"), SizeIs(1)) << "only of the one before";
  sqs.heal();
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.requests("DeleteQueue").size() == 2; }));
  EXPECT_THAT(reply_queues(), IsEmpty());
}

// ---- queues that are gone ------------------------------------------------------------------------

TEST_F(SqsService, ANamedQueueForAnswersThatIsGoneMayComeBack) {
  listen();
  auto named = options();
  named.reply_queue = "work-replies-mine";
  sqs.make_queue(named.reply_queue);
  Connection& connection = connect(named);
  expect_answered(start_call(connection, request_with({Value(1)})), 1);
  sqs.remove_queue(named.reply_queue);
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_THAT(reply_queues(), IsEmpty()) << "it is somebody else's to make";
  sqs.make_queue(named.reply_queue);
  // The worker takes that it is gone for granted as long as it remembers it.
  listeners.clear();
  listen();
  expect_answered(start_call(connection, request_with({Value(2)})), 2);
  EXPECT_TRUE(sqs.wait_until([&] {
    sqs.pass_time(31s);  // What the first worker had yet to answer when it ended.
    return sqs.messages("work").empty();
  }));
  sqs.remove_queue(named.reply_queue);
}

/// SQS makes none by a name that was in use less than a minute ago.
TEST_F(SqsService, ADeadLetterQueueThatWasDeletedIsMadeAnew) {
  listen();
  sqs.remove_queue("work-dead");
  sqs.send("work", "hello");
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("CreateQueue").size() >= 3; }));
  EXPECT_THAT(sqs.queues(), ElementsAre("work"));
  EXPECT_THAT(sqs.messages("work"), SizeIs(1));
  sqs.pass_time(60s);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work-dead").size() == 1; }));
}

// ---- rights that are missing ---------------------------------------------------------------------

TEST_F(SqsService, WhatMayNotBeAskedToConnectIsSaid) {
  for (const char* const action : {"GetQueueUrl", "GetQueueAttributes", "CreateQueue"}) {
    sqs.fail(Fault::denied, 1, action);
    std::string words;
    EXPECT_EQ(thrown_code([&] { connect(); }, &words), ErrorCode::unauthenticated);
    EXPECT_THAT(words, HasSubstr(action));
    EXPECT_THAT(words, HasSubstr("AccessDenied"));
    sqs.fail(Fault::denied, 1, action);
    EXPECT_EQ(thrown_code([&] { listen(); }, &words), ErrorCode::unauthenticated);
    EXPECT_THAT(words, HasSubstr(action));
    EXPECT_THAT(words, HasSubstr("AccessDenied"));
  }
}

TEST_F(SqsService, ACallThatMayNotBeSentIsUnauthenticated) {
  Connection& connection = connect();
  sqs.fail(Fault::denied, 1, "SendMessageBatch");
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({})); }, &words), ErrorCode::unauthenticated);
  EXPECT_THAT(words, HasSubstr("SendMessageBatch"));
  EXPECT_THAT(sqs.requests("SendMessageBatch"), SizeIs(1)) << "not tried again";
}

TEST_F(SqsService, ACallWhoseAnswerMayNotBeReadEnds) {
  Connection& connection = connect();
  sqs.fail(Fault::denied, kAlways, "ReceiveMessage");
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({})); }, &words), ErrorCode::unauthenticated);
  EXPECT_THAT(words, HasSubstr("ReceiveMessage"));
  sqs.heal();
  listen();
  expect_answered(start_call(connection, request_with({Value(1)})), 1);
}

TEST_F(SqsService, AWorkerThatMayNotAskSaysSoOnceAndGoesOnAsking) {
  sqs.fail(Fault::denied, kAlways, "ReceiveMessage", "work");
  listen(echo, options(), logged());
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("ReceiveMessage").size() >= 4; }));
  {
    const std::lock_guard lock(mutex);
    ASSERT_THAT(log, SizeIs(1));
    EXPECT_THAT(log[0], HasSubstr("AccessDenied"));
  }
  sqs.heal();
  expect_answered(start_call(connect(), request_with({Value(1)})), 1);
}

/// What it may not do with a request that it has done leaves that in the queue, for a while; nobody is told twice.
TEST_F(SqsService, DeletionsThatAreNotAllowedAreTriedAgain) {
  listen();
  Connection& connection = connect();
  sqs.fail(Fault::denied, kAlways, "DeleteMessageBatch");
  expect_answered(start_call(connection, request_with({Value(1)})), 1);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.requests("DeleteMessageBatch").size() >= 3; }));
  EXPECT_THAT(sqs.messages("work"), SizeIs(1));
  sqs.heal();
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
}

TEST_F(SqsService, WhatMayNotBeHiddenAgainIsDoneAllTheSame) {
  auto brief = options();
  brief.visibility_timeout = 2s;
  listen(held.handler(), brief);
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  sqs.fail(Fault::denied, kAlways, "ChangeMessageVisibilityBatch");
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").at(0).deliveries == 2; })) << "it came again";
  EXPECT_FALSE(held.wait_for(2, 0ms)) << "to the one who is at it";
  answer_held();
  expect_answered(outcome, 1);
}

TEST_F(SqsService, ADeadLetterThatMayNotBeSentWaits) {
  listen();
  sqs.fail(Fault::denied, 3, "SendMessageBatch", "work-dead");
  sqs.send("work", "hello");
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work-dead").size() == 1; }));
}

TEST_F(SqsService, AQueueThatMayNotBeDeletedIsLeft) {
  connect();
  sqs.fail(Fault::denied, 1, "DeleteQueue");
  connections.clear();
  ASSERT_THAT(reply_queues(), SizeIs(1));
  sqs.remove_queue(reply_queues().at(0));
}

// ---- actions that are never answered -------------------------------------------------------------

TEST_F(SqsService, ConnectingEndsInItsTime) {
  ConnectOptions brief;
  brief.connect_timeout = 300ms;
  for (const char* const action : {"GetQueueUrl", "GetQueueAttributes", "CreateQueue"}) {
    sqs.fail(Fault::hangs, 1, action);
    EXPECT_EQ(thrown_code([&] { connect(options(), brief); }), ErrorCode::unavailable) << action;
  }
  EXPECT_THAT(reply_queues(), IsEmpty());
}

/// Everything that a call asks for hangs; it ends at its deadline, and nobody waits longer for the end of the
/// connection than it takes to see that its queue can't be removed.
TEST_F(SqsService, ACallAtAServiceThatHangsEndsAtItsDeadline) {
  Connection& connection = connect();
  for (const char* const action : {"SendMessageBatch", "ReceiveMessage"}) {
    sqs.fail(Fault::hangs, kAlways, action);
    const auto outcome = start_call(connection, request_with({}), std::chrono::steady_clock::now() + 300ms);
    EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded) << action;
    EXPECT_EQ(outcome.count(), 1);
  }
  sqs.fail(Fault::hangs, kAlways, "DeleteQueue");
  connections.clear();
  ASSERT_THAT(reply_queues(), SizeIs(1));
  sqs.remove_queue(reply_queues().at(0));
}

TEST_F(SqsService, AWorkerWhosePollAndDeletionHangCanBeClosed) {
  auto one = options();
  one.max_in_flight = 1;
  Listener& first = listen(echo, one);
  Connection& connection = connect();
  sqs.fail(Fault::hangs, kAlways, "DeleteMessageBatch", "work");
  expect_answered(start_call(connection, request_with({Value(1)})), 1);
  sqs.fail(Fault::hangs, kAlways, "ReceiveMessage", "work");
  first.close();
  sqs.heal();
  listen(held.handler());
  ASSERT_TRUE(sqs.wait_until([&] {
    sqs.pass_time(31s);  // It was not deleted: it comes again, and its second answer is nobody's.
    return held.wait_for(1, 0ms);
  }));
  answer_held();
  const auto next = start_call(connection, request_with({Value(2)}));
  ASSERT_TRUE(held.wait_for(1));
  answer_held();
  expect_answered(next, 2);
}

// ---- the log ---------------------------------------------------------------------------------------

/// Who may send to the queue must not fill a disk.
TEST_F(SqsService, WhatComesInMassesIsLoggedOnceASecond) {
  auto many = options();
  many.max_in_flight = 10;
  listen(echo, many, logged());
  constexpr std::size_t count = 200;
  for (std::size_t i = 0; i < count; ++i) sqs.send("work", "hello");
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work-dead").size() == count; }));
  const std::lock_guard lock(mutex);
  EXPECT_FALSE(log.empty());
  EXPECT_LT(log.size(), count / 2);
}

TEST_F(SqsService, WhatIsGivenBackAtTheEndIsLogged) {
  auto one = options();
  one.max_in_flight = 1;
  Listener& first = listen(held.handler(), one, logged());
  const auto outcome = start_call(connect(), request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  first.close();
  {
    const std::lock_guard lock(mutex);
    EXPECT_THAT(log, ElementsAre(HasSubstr("is given back: this worker ends")));
    EXPECT_THAT(levels, ElementsAre(LogLevel::debug));
  }
  held.take();
  listen();
  expect_answered(outcome, 1);
}

}  // namespace
}  // namespace splitnet
