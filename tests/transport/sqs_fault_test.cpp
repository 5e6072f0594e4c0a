// SPDX-License-Identifier: Apache-2.0
// What a queue, those who send to it and those who work for it may do to sqs:.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>

#include "damaged_bytes.hpp"
#include "splitnet/object_store.hpp"
#include "sqs_fixture.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using ::testing::HasSubstr;
using testing::iota_u8;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::SqsStandIn;
using testing::start_call;
using testing::thrown_code;

class SqsFault : public testing::SqsFixture {
 protected:
  /// Each is answered, once and rightly.
  static void expect_answered(const std::vector<Outcome>& outcomes) {
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      const auto* const reply = outcomes[i].message();
      ASSERT_NE(reply, nullptr) << i << ": "
                                << (outcomes[i].error() ? to_string(*outcomes[i].error()) : "no answer at all");
      ASSERT_EQ(reply->kind, MessageKind::reply) << reply->error_message;
      EXPECT_EQ(reply->values.at(0).integer(), static_cast<std::int64_t>(i));
      EXPECT_EQ(outcomes[i].count(), 1);
    }
  }
  static std::vector<Outcome> start_calls(Connection& connection, int count) {
    std::vector<Outcome> outcomes;
    for (int i = 0; i < count; ++i) outcomes.push_back(start_call(connection, request_with({Value(i)})));
    return outcomes;
  }
  /// Of the only connection.
  [[nodiscard]] std::string reply_queue() const {
    const auto found = reply_queues();
    return found.empty() ? "" : found.back();
  }
  SqsOptions patient() const {
    auto patient = options();
    patient.max_in_flight = 10;
    patient.max_deliveries = 100;
    return patient;
  }
};

// ---- 32: more than once, and in any order ---------------------------------------------------------

TEST_F(SqsFault, EachCallHasOneAnswerHoweverOftenMessagesCome) {
  sqs.delivers_again = true;
  std::atomic<int> handled = 0;
  const auto counting_echo = [&](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  };
  listen(counting_echo, patient());
  listen(counting_echo, patient());
  expect_answered(start_calls(connect(), 50));
  EXPECT_GE(handled, 50);
  EXPECT_TRUE(sqs.wait_until([&] {
    sqs.pass_time(31s);  // What was deleted by the handle of an earlier delivery.
    return sqs.messages("work").empty();
  }));
}

TEST_F(SqsFault, AWorkerDoesNotDoAgainWhatItHasAnswered) {
  sqs.delivers_again = true;
  std::atomic<int> handled = 0;
  listen(
      [&](Message request, const CallContext& context, const Responder& respond) {
        ++handled;
        echo(std::move(request), context, respond);
      },
      patient());
  expect_answered(start_calls(connect(), 20));
  EXPECT_TRUE(sqs.wait_until([&] {
    sqs.pass_time(31s);  // What was deleted by the handle of an earlier delivery.
    return sqs.messages("work").empty();
  }));
  EXPECT_EQ(handled, 20);
}

/// It was not hidden again in time, and comes to the very worker that is at it: it stays in the queue until it is done.
TEST_F(SqsFault, ComesBackToTheOneWhoIsAtIt) {
  auto one = options();
  one.max_in_flight = 2;
  listen(held.handler(), one);
  const auto outcome = start_call(connect(), request_with({Value(0)}));
  ASSERT_TRUE(held.wait_for(1));
  sqs.pass_time(31s);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").at(0).deliveries == 2; }));
  EXPECT_FALSE(held.wait_for(2, 100ms));
  EXPECT_THAT(sqs.messages("work"), SizeIs(1));
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  expect_answered({outcome});
}

/// SQS does not promise that it tells them apart: the one who had it first deletes it, or gives it back, while the next
/// one is at it.
TEST_F(SqsFault, HandlesOfEarlierDeliveriesMayWork) {
  sqs.old_handles_work = true;
  Connection& connection = connect();
  auto one = patient();
  one.max_in_flight = 1;
  const auto answer = [](testing::Held& worker) {
    for (auto& item : worker.take()) item.respond(reply_with(item.request.values));
  };
  for (const char* const way : {"answered first", "answered last", "given back"}) {
    SCOPED_TRACE(way);
    testing::Held second;
    listen(held.handler(), one);
    const auto outcome = start_call(connection, request_with({Value(0)}));
    ASSERT_TRUE(held.wait_for(1));
    sqs.pass_time(31s);
    listen(second.handler(), one);
    ASSERT_TRUE(second.wait_for(1));
    if (way == std::string("answered first")) {
      answer(held);
      ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); })) << "under the hands of the second";
      answer(second);
    } else if (way == std::string("answered last")) {
      answer(second);
      ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
      answer(held);
    } else {
      for (auto& item : held.take()) item.respond(Message::make_error(Error(ErrorCode::unavailable, "no next tier")));
      ASSERT_TRUE(held.wait_for(1)) << "it comes a third time, while the second is at it";
      answer(second);
      answer(held);
    }
    expect_answered({outcome});
    listeners.clear();
    listen();
    expect_answered(start_calls(connection, 1));  // With which the other answer has come, too.
    EXPECT_EQ(outcome.count(), 1);
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
    listeners.clear();
  }
  EXPECT_THAT(sqs.messages("work-dead"), IsEmpty());
}

/// The same message of the queue twice: what it leads to is not taken away from the one who is reading it.
TEST_F(SqsFault, ASecondAnswerLeavesTheObjectOfTheFirst) {
  listen(
      [](const Message&, const CallContext&, const Responder& respond) { respond(reply_with({iota_u8(1'000'000)})); });
  Connection& connection = connect();
  sqs.store.keeps_readers_waiting = true;
  sqs.delivers_again = true;
  const auto outcome = start_call(connection, request_with({}));
  ASSERT_TRUE(sqs.wait_until([&] {
    const auto deletions = sqs.requests("DeleteMessageBatch");
    return std::count_if(deletions.begin(), deletions.end(), [](const Json& deletion) {
             return deletion.at("document").at("QueueUrl").get<std::string>().find("-replies-") != std::string::npos;
           }) >= 2;
  })) << "it has come twice";
  std::this_thread::sleep_for(50ms);  // For what would be removed.
  sqs.store.keeps_readers_waiting = false;
  ASSERT_NE(outcome.message(), nullptr) << to_string(*outcome.error());
  EXPECT_EQ(outcome.message()->kind, MessageKind::reply);
  EXPECT_TRUE(sqs.wait_until([&] {
    sqs.pass_time(31s);  // What was deleted by the handle of an earlier delivery.
    return sqs.messages("work").empty();
  }));
}

TEST_F(SqsFault, OrderIsOfNoConsequence) {
  sqs.delivers_backwards = true;
  Connection& connection = connect();
  const auto outcomes = start_calls(connection, 50);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 50; }));
  listen(echo, patient());
  expect_answered(outcomes);
}

TEST_F(SqsFault, AnswersToNoCallAreDropped) {
  listen(held.handler(), patient());
  Connection& connection = connect();
  const auto outcome = start_calls(connection, 1);
  ASSERT_TRUE(held.wait_for(1));
  const auto request = sqs.messages("work").at(0);
  auto other = request.attributes;
  other["request"]["StringValue"] = std::string(32, 'a');
  sqs.send(reply_queue(), "hello");
  sqs.send(reply_queue(), request.body, other);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages(reply_queue()).empty(); })) << "and deleted";
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  expect_answered(outcome);
}

/// Of somebody who may send to the queue of the answers, and knows the call's name.
TEST_F(SqsFault, AnAnswerThatIsNoneEndsItsCallOnly) {
  listen(held.handler(), patient());
  Connection& connection = connect();
  const std::vector<std::string> answers{"hello", R"({"splitnet":"AAAA"})", "",
                                         R"({"splitnet_at":"s3://bodies/some/prefix/secret"})"};
  for (const auto& answer : answers) {
    const auto outcome = start_call(connection, request_with({Value(0)}));
    ASSERT_TRUE(held.wait_for(1));
    const auto request = sqs.messages("work").at(0);
    sqs.send(reply_queue(), answer.empty() ? request.body : answer, request.attributes);  // A request is no answer.
    const auto error = outcome.error();
    EXPECT_TRUE(error == ErrorCode::corrupt || error == ErrorCode::too_large) << (error ? to_string(*error) : "none");
    for (auto& item : held.take()) item.respond(reply_with(item.request.values));  // Late: dropped.
    const auto next = start_calls(connection, 1);
    ASSERT_TRUE(held.wait_for(1));
    for (auto& item : held.take()) item.respond(reply_with(item.request.values));
    expect_answered(next);
    EXPECT_EQ(outcome.count(), 1);
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  }
}

// ---- 33: poison ------------------------------------------------------------------------------------

TEST_F(SqsFault, WhatWasTakenTooOftenIsDead) {
  const auto outcome = start_call(connect(), request_with({iota_u8(50)}));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 1; }));
  const auto request = sqs.messages("work").at(0);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(sqs.take("work"));
    sqs.pass_time(31s);
  }
  listen(held.handler());
  const auto* const reply = outcome.message();
  ASSERT_NE(reply, nullptr);
  EXPECT_EQ(reply->error, ErrorCode::internal);
  EXPECT_THAT(reply->error_message, HasSubstr("5 deliveries"));
  EXPECT_FALSE(held.wait_for(1, 0ms));
  const auto dead = sqs.messages("work-dead");
  ASSERT_THAT(dead, SizeIs(1));
  EXPECT_EQ(dead[0].body, request.body);
  EXPECT_THAT(attribute(dead[0], "reason"), HasSubstr("5 deliveries"));
  for (const auto& [name, value] : request.attributes.items()) EXPECT_EQ(dead[0].attributes.at(name), value);
}

TEST_F(SqsFault, WhatNobodyCouldDoIsDead) {
  auto twice = options();
  twice.max_deliveries = 2;
  twice.dead_letter_queue = "the-morgue";
  sqs.make_queue("the-morgue");
  std::atomic<int> tried = 0;
  listen(
      [&](const Message&, const CallContext&, const Responder& respond) {
        ++tried;
        respond(Message::make_error(Error(ErrorCode::unavailable, "the next tier is gone")));
      },
      twice);
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(connect(), request_with({})); }, &words), ErrorCode::internal);
  EXPECT_THAT(words, HasSubstr("the next tier is gone"));
  EXPECT_EQ(tried, 2);
  ASSERT_THAT(sqs.messages("the-morgue"), SizeIs(1));
  EXPECT_THAT(attribute(sqs.messages("the-morgue")[0], "reason"), HasSubstr("the next tier is gone"));
}

TEST_F(SqsFault, WhatIsNoRequestIsDeadAtOnce) {
  std::vector<std::string> log;
  std::mutex mutex;
  ListenOptions limits;
  limits.log = [&](const LogRecord& record) {
    const std::lock_guard lock(mutex);
    log.emplace_back(record.message);
  };
  listen(echo, options(), limits);
  sqs.send("work", "hello");
  sqs.send("work", R"({"splitnet":"AAAA"})");
  sqs.send("work", std::string(1'048'576, 'x'));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  const auto dead = sqs.messages("work-dead");
  ASSERT_THAT(dead, SizeIs(3));
  std::vector<std::string> bodies;
  for (const auto& one : dead) {
    EXPECT_THAT(attribute(one, "reason"), HasSubstr("not a request of splitnet"));
    bodies.push_back(one.body);
  }
  EXPECT_THAT(bodies, ::testing::Contains("hello"));
  {
    const std::lock_guard lock(mutex);
    EXPECT_THAT(log, ::testing::Contains(HasSubstr("work-dead")));
  }
  expect_answered(start_calls(connect(), 5));
}

/// Of somebody who may send to the queue, or of a road that is broken.
TEST_F(SqsFault, DamagedRequestsHarmNobody) {
  const auto request = request_on_the_queue();
  std::mt19937 random(1);
  const auto damaged_text = [&](const std::string& text, int round) {
    std::vector<std::byte> bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    bytes = testing::damaged(std::move(bytes), round, random);
    std::string result(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (char& c : result) c = c < ' ' ? 'x' : c;  // The service takes no others, and only UTF-8.
    return result.empty() ? std::string("x") : result;
  };
  for (int round = 0; round < 300; ++round) {
    auto attributes = request.attributes;
    auto& name = attributes["request"]["StringValue"].get_ref<std::string&>();
    std::snprintf(name.data(), name.size() + 1, "%032x", static_cast<unsigned>(round));  // Each is another call.
    if (round % 5 == 4) name = damaged_text(name, round / 5);
    sqs.send("work", damaged_text(request.body, round), attributes);
  }
  auto many = options();
  many.max_in_flight = 10;
  std::atomic<int> handled = 0;
  listen(
      [&](Message got, const CallContext& context, const Responder& respond) {
        ++handled;
        EXPECT_TRUE(bit_identical(got.values.at(0), Value(iota_u8(100)))) << "it was damaged where nobody looks";
        echo(std::move(got), context, respond);
      },
      many);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_GT(sqs.messages("work-dead").size(), 200U);
  EXPECT_LT(handled, 50) << "what was damaged only in its name";
  EXPECT_THAT(call_and_wait(connect(), request_with({iota_u8(100)})).values, SizeIs(1));
}

TEST_F(SqsFault, RepliesGoToReplyQueuesOnly) {
  const auto request = request_on_the_queue();
  sqs.make_queue("victim");
  sqs.make_queue("other-replies-victim");
  const auto before = sqs.queues();
  const std::string url = sqs.options().endpoint + "/123456789012/victim";
  std::vector<std::string> names{"victim",      "../victim",          "/victim", "a b",
                                 "victim.fifo", std::string(80, 'a'), url,       "other-replies-victim"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto attributes = request.attributes;
    attributes["request"]["StringValue"] = std::string(31, '0') + static_cast<char>('0' + i);
    attributes["reply"]["StringValue"] = names[i];
    sqs.send("work", request.body, attributes);
  }
  listen();
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_THAT(sqs.messages("victim"), IsEmpty());
  EXPECT_THAT(sqs.messages("other-replies-victim"), IsEmpty());
  for (const Json& sent : sqs.requests("SendMessageBatch")) {
    const std::string to = sent.at("document").at("QueueUrl");
    EXPECT_TRUE(to.ends_with("/work") || to.ends_with("/work-dead") || to.find("/work-replies-") != std::string::npos)
        << to;
  }
}

TEST_F(SqsFault, OnlyBodiesOfItsOwnCallAreFollowed) {
  const auto request = request_on_the_queue();
  const auto store = ObjectStore::open("s3://bodies/some/prefix", sqs.options());
  const std::string name = attribute(request, "request");
  const std::vector<std::string> others{"secret", "requests/" + std::string(32, 'f'), "requests/" + name + "0",
                                        "replies/" + name, "../prefix/requests/" + name};
  for (const auto& other : others) {
    store->put(other, "something else");
    sqs.send("work", R"({"splitnet_at":"s3://bodies/some/prefix/)" + other + "\"}", request.attributes);
  }
  listen(held.handler());
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_FALSE(held.wait_for(1, 0ms));
  for (const auto& other : others) {
    EXPECT_EQ(store->get(other), "something else") << "neither read nor removed";
    store->remove(other);
  }
}

// ---- 40 and what passes ----------------------------------------------------------------------------

/// A worker that can't now gives it back; whoever can later answers.
TEST_F(SqsFault, WhatCanNotBeDoneNowIsDoneLater) {
  auto one = patient();
  one.max_in_flight = 1;  // None of its polls is under way, which would take away what is given back.
  std::atomic<int> tried = 0;
  listen(
      [&](Message request, const CallContext& context, const Responder& respond) {
        switch (tried++) {
          case 0: return respond(Message::make_error(Error(ErrorCode::overloaded, "full")));
          case 1: return respond(Message::make_error(Error(ErrorCode::unavailable, "no next tier")));
          default: echo(std::move(request), context, respond);
        }
      },
      one);
  const auto outcome = start_call(connect(), request_with({Value(0)}));
  for (int given_back = 1; given_back <= 2; ++given_back) {
    ASSERT_TRUE(sqs.wait_until([&] { return tried == given_back; }));
    ASSERT_TRUE(sqs.wait_until([&] {  // It was given back for a while.
      return sqs.requests("ChangeMessageVisibilityBatch").size() >= static_cast<std::size_t>(given_back);
    }));
    sqs.pass_time(10s);
  }
  expect_answered({outcome});
  EXPECT_EQ(tried, 3);
  std::vector<int> pauses;
  for (const Json& request : sqs.requests("ChangeMessageVisibilityBatch")) {
    pauses.push_back(request.at("document").at("Entries")[0].at("VisibilityTimeout"));
  }
  EXPECT_THAT(pauses, ::testing::ElementsAre(2, 4)) << "seconds, doubled";
}

TEST_F(SqsFault, OtherErrorsAreTheAnswer) {
  listen([](const Message& request, const CallContext&, const Responder& respond) {
    if (request.values.at(0).integer() == 0) throw std::runtime_error("boom");
    respond(Message::make_error(Error(ErrorCode::incompatible, "another version")));
  });
  Connection& connection = connect();
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({Value(0)})); }, &words), ErrorCode::internal);
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({Value(1)})); }, &words), ErrorCode::incompatible);
  EXPECT_EQ(words, "another version");
}

// ---- 34, 36: what the service does ---------------------------------------------------------------

TEST_F(SqsFault, ThrottledCallsSaySoAndHarmNobody) {
  listen(echo, patient());
  Connection& connection = connect();
  expect_answered(start_calls(connection, 1));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  for (const Fault fault : {Fault::throttled, Fault::rate_limited}) {
    sqs.fail(fault, 1, "SendMessageBatch");
    std::string words;
    EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({})); }, &words), ErrorCode::overloaded);
    EXPECT_THAT(words, HasSubstr("Throttl"));
    EXPECT_THAT(words, HasSubstr("eu-central-1"));
    expect_answered(start_calls(connection, 3));
  }
}

TEST_F(SqsFault, EntriesOfABatchFailOnTheirOwn) {
  listen(held.handler(), patient());
  Connection& connection = connect();
  sqs.fail(Fault::entries_fail, 2, "SendMessageBatch");  // Of requests; those that failed are sent again.
  const auto outcomes = start_calls(connection, 10);
  ASSERT_TRUE(held.wait_for(10));
  sqs.fail(Fault::entries_fail, 3, "SendMessageBatch");
  sqs.fail(Fault::entries_fail, 3, "DeleteMessageBatch");
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  expect_answered(outcomes);
}

/// An answer that is there gets to who waits, whatever the service says meanwhile.
TEST_F(SqsFault, AnswersAreSentAgain) {
  listen(held.handler(), patient());
  Connection& connection = connect();
  for (const Fault fault :
       {Fault::throttled, Fault::out_of_service, Fault::dropped, Fault::answer_lost, Fault::no_json}) {
    const auto outcomes = start_calls(connection, 1);
    ASSERT_TRUE(held.wait_for(1));
    sqs.fail(fault, 2, "SendMessageBatch");
    for (auto& item : held.take()) item.respond(reply_with(item.request.values));
    expect_answered(outcomes);
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  }
}

TEST_F(SqsFault, PollsThatFailAreMadeAgain) {
  listen(echo, patient());
  Connection& connection = connect();
  for (const Fault fault : {Fault::throttled, Fault::rate_limited, Fault::out_of_service, Fault::dropped}) {
    sqs.fail(fault, 4, "ReceiveMessage");
    expect_answered(start_calls(connection, 5));
  }
}

/// What was received in an answer that got lost is hidden, and comes again.
TEST_F(SqsFault, LostPollsLoseNothing) {
  listen(echo, patient());
  Connection& connection = connect();
  for (const Fault fault : {Fault::answer_lost, Fault::no_json}) {
    sqs.fail(fault, 3, "ReceiveMessage");
    const auto outcomes = start_calls(connection, 10);
    EXPECT_TRUE(sqs.wait_until([&] {
      sqs.pass_time(31s);
      return std::all_of(outcomes.begin(), outcomes.end(), [](const auto& outcome) { return outcome.count() > 0; });
    }));
    expect_answered(outcomes);
    EXPECT_TRUE(sqs.wait_until([&] {
      sqs.pass_time(31s);
      return sqs.messages("work").empty();
    }));
  }
}

TEST_F(SqsFault, ACallWhoseSendingFailsEndsOnce) {
  listen(echo, patient());
  Connection& connection = connect();
  for (const Fault fault : {Fault::out_of_service, Fault::dropped, Fault::answer_lost, Fault::no_json}) {
    sqs.fail(fault, 2, "SendMessageBatch");
    const auto outcome = start_call(connection, request_with({Value(0)}));
    ASSERT_TRUE(outcome.wait());
    const auto error = outcome.error();
    EXPECT_TRUE(!error || error == ErrorCode::unavailable) << to_string(*error);
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
    EXPECT_EQ(outcome.count(), 1);
    sqs.heal();
  }
  expect_answered(start_calls(connection, 5));
}

TEST_F(SqsFault, DeletionsAreTriedAgain) {
  listen(echo, patient());
  Connection& connection = connect();
  for (const Fault fault : {Fault::throttled, Fault::out_of_service, Fault::dropped, Fault::no_json}) {
    sqs.fail(fault, 1, "DeleteMessageBatch");
    expect_answered(start_calls(connection, 1));
    ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  }
}

TEST_F(SqsFault, GoesOnWhenTheServiceIsBack) {
  listen(held.handler(), patient());
  Connection& connection = connect();
  auto outcomes = start_calls(connection, 10);
  ASSERT_TRUE(held.wait_for(10));
  std::this_thread::sleep_for(200ms);  // Until the caller knows that they were sent.
  sqs.stop();
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable);
  std::this_thread::sleep_for(300ms);
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.count(), 0);
  sqs.start();
  expect_answered(outcomes);
  outcomes = start_calls(connection, 3);
  ASSERT_TRUE(held.wait_for(3));
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  expect_answered(outcomes);
}

TEST_F(SqsFault, WhatAServiceForgotIsUnavailable) {
  Listener& listener = listen(held.handler(), patient());
  Connection& connection = connect();
  const auto first = start_calls(connection, 1);
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  expect_answered(first);  // Since then the queue for answers is known to be there.
  const auto outcomes = start_calls(connection, 3);
  ASSERT_TRUE(held.wait_for(3));
  sqs.forget();
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(start_call(connection, request_with({})).error(), ErrorCode::unavailable);
  for (auto& item : held.take()) item.respond(reply_with({}));
  sqs.make_queue("work");
  connections.clear();
  const auto again = start_call(connect(), request_with({Value(0)}));
  ASSERT_TRUE(held.wait_for(1)) << "the listener is the same";
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  expect_answered({again});
  listener.close();
}

TEST_F(SqsFault, TheClockOfTheServiceIsItsOwn) {
  sqs.clock_ahead = 2h;
  listen(echo, patient());
  Connection& connection = connect();
  for (int i = 0; i < 3; ++i) {
    const auto outcome =
        start_call(connection, request_with({Value(0)}), std::chrono::steady_clock::now() + testing::kLongTime);
    expect_answered({outcome});
  }
}

TEST_F(SqsFault, AStoreThatHangsHoldsUpNobodyElse) {
  listen(echo, patient());
  auto options = this->options();
  options.aws.stall_timeout = 1s;
  Connection& connection = connect(options);
  sqs.store.hangs = true;
  const auto large = start_call(connection, request_with({iota_u8(1'000'000)}));
  expect_answered(start_calls(connection, 3));
  EXPECT_EQ(large.error(), ErrorCode::unavailable);
}

}  // namespace
}  // namespace splitnet
