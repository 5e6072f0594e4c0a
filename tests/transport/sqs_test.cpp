// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/sqs.hpp"

#include <set>

#include "splitnet/aws/transports.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/trace.hpp"
#include "sqs_fixture.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using ::testing::Each;
using testing::echo;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using testing::iota_u8;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Not;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using ::testing::SizeIs;
using testing::start_call;
using testing::thrown_code;
using testing::throws;

class Sqs : public testing::SqsFixture {};

TEST_F(Sqs, CarriesRequestsAndReplies) {
  std::promise<Message> seen;
  listen([&seen](Message request, const CallContext&, const Responder& respond) {
    seen.set_value(request);
    auto reply = reply_with(std::move(request.values));
    reply.times_s["run"] = 0.25;
    respond(std::move(reply));
  });
  auto request = request_with({Value(iota_u8(1000)), Value(7)});
  request.request.fingerprint = "abc";
  request.trace = new_trace();
  const auto reply = call_and_wait(connect(), request);
  const Message got = seen.get_future().get();
  EXPECT_EQ(got.request, request.request);
  EXPECT_EQ(got.trace, request.trace);
  ASSERT_THAT(reply.values, SizeIs(2));
  EXPECT_TRUE(bit_identical(reply.values[0], request.values[0]));
  EXPECT_EQ(reply.times_s.at("run"), 0.25);
}

TEST_F(Sqs, ANewListenerFindsWhatWasSentBefore) {
  const auto outcome = start_call(connect(), request_with({Value(3)}));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 1; }));
  EXPECT_EQ(outcome.count(), 0);
  listen();
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 3);
}

TEST_F(Sqs, WorkersShareAQueue) {
  auto one_each = options();
  one_each.max_in_flight = 1;
  testing::Held second;
  listen(held.handler(), one_each);
  listen(second.handler(), one_each);
  Connection& connection = connect();
  const auto first_call = start_call(connection, request_with({Value(1)}));
  const auto second_call = start_call(connection, request_with({Value(2)}));
  ASSERT_TRUE(held.wait_for(1));
  ASSERT_TRUE(second.wait_for(1));
  for (auto* const worker : {&held, &second}) {
    for (auto& item : worker->take()) item.respond(reply_with(item.request.values));
  }
  ASSERT_NE(first_call.message(), nullptr);
  ASSERT_NE(second_call.message(), nullptr);
  EXPECT_EQ(first_call.message()->values.at(0).integer(), 1);
  EXPECT_EQ(second_call.message()->values.at(0).integer(), 2);
}

TEST_F(Sqs, TakesNoMoreThanItMayHold) {
  auto two = options();
  two.max_in_flight = 2;
  listen(held.handler(), two);
  Connection& connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 5; ++i) outcomes.push_back(start_call(connection, request_with({})));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 5; }));
  for (int answered = 0; answered < 5;) {
    ASSERT_TRUE(held.wait_for(1));
    EXPECT_FALSE(held.wait_for(3, 20ms));
    for (auto& item : held.take()) {
      item.respond(reply_with({}));
      ++answered;
    }
  }
  for (const auto& outcome : outcomes) EXPECT_NE(outcome.message(), nullptr);
}

/// Long polling: a question that waits is one request, where short ones would be a bill.
TEST_F(Sqs, QuestionsWaitForMessages) {
  listen();
  EXPECT_NE(start_call(connect(), request_with({})).message(), nullptr);
  std::set<std::string> queues;
  for (const Json& request : sqs.requests("ReceiveMessage")) {
    const Json& document = request.at("document");
    queues.insert(document.at("QueueUrl"));
    EXPECT_EQ(document.at("WaitTimeSeconds"), 20) << document;
  }
  EXPECT_THAT(queues, SizeIs(2)) << "the worker's and the caller's";
}

// ---- deletion ----------------------------------------------------------------------------------

TEST_F(Sqs, DeletesARequestAfterItsAnswerAndNotBefore) {
  listen(held.handler());
  const auto outcome = start_call(connect(), request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_THAT(sqs.messages("work"), SizeIs(1));
  EXPECT_TRUE(sqs.messages("work").at(0).is_hidden);
  held.take().at(0).respond(reply_with({}));
  EXPECT_NE(outcome.message(), nullptr);
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.requests("DeleteMessageBatch").size() == 2; }));
  std::vector<std::string> order;
  for (const Json& request : sqs.requests("")) {
    const std::string action = request.at("action");
    if (action.ends_with("MessageBatch")) order.push_back(action);
  }
  EXPECT_THAT(order, ElementsAre("SendMessageBatch", "SendMessageBatch", "DeleteMessageBatch", "DeleteMessageBatch"))
      << "request, answer, and then both are deleted";
}

TEST_F(Sqs, HidesARequestAsLongAsItIsWorkedOn) {
  auto hasty = options();
  hasty.visibility_timeout = 2s;
  hasty.max_in_flight = 1;
  testing::Held second;
  listen(held.handler(), hasty);
  const auto outcome = start_call(connect(), request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  listen(second.handler(), hasty);
  std::this_thread::sleep_for(3500ms);
  EXPECT_FALSE(second.wait_for(1, 0ms));
  EXPECT_EQ(sqs.messages("work").at(0).deliveries, 1);
  held.take().at(0).respond(reply_with({}));
  EXPECT_NE(outcome.message(), nullptr);
}

// ---- reply queues ------------------------------------------------------------------------------

TEST_F(Sqs, EachConnectionHasAReplyQueueAndRemovesIt) {
  listen();
  const auto transport = make_sqs_transport(options());
  auto first = transport->connect(testing::work, {});
  auto second = transport->connect(testing::work, {});
  EXPECT_THAT(reply_queues(), SizeIs(2));
  EXPECT_EQ(call_and_wait(*first, request_with({Value(1)})).values.size(), 1U);
  EXPECT_EQ(call_and_wait(*second, request_with({Value(1)})).values.size(), 1U);
  first->close();
  second.reset();
  EXPECT_THAT(sqs.queues(), ElementsAre("work", "work-dead"));
}

TEST_F(Sqs, AReplyQueueOfItsOwnIsKept) {
  listen();
  auto named = options();
  named.reply_queue = "work-replies-mine";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "work-replies-mine", [&] { connect(named); }));
  sqs.make_queue("work-replies-mine");
  EXPECT_THAT(call_and_wait(connect(named), request_with({Value(1)})).values, SizeIs(1));
  EXPECT_THAT(sqs.queues(), ElementsAre("work", "work-dead", "work-replies-mine"));
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.messages("work-replies-mine").empty(); })) << "answers are deleted";
  connections.clear();
  EXPECT_THAT(sqs.queues(), ElementsAre("work", "work-dead", "work-replies-mine"));
  sqs.remove_queue("work-replies-mine");
  named.reply_queue = "somebodys-queue";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "work-replies-", [&] { connect(named); }));
}

TEST_F(Sqs, AsksForAnswersOnlyWhileItHasCalls) {
  Connection& connection = connect();
  std::this_thread::sleep_for(50ms);
  EXPECT_THAT(sqs.requests("ReceiveMessage"), IsEmpty());
  listen();
  (void)call_and_wait(connection, request_with({}));
  const auto asked_by_caller = [&] {
    std::size_t count = 0;
    for (const Json& request : sqs.requests("ReceiveMessage")) {
      count += request.at("document").at("QueueUrl").get<std::string>().ends_with("/work") ? 0 : 1;
    }
    return count;
  };
  EXPECT_GE(asked_by_caller(), 1U);
  const auto before = asked_by_caller();
  std::this_thread::sleep_for(50ms);
  EXPECT_LE(asked_by_caller(), before + 1);
}

// ---- batches -----------------------------------------------------------------------------------

TEST_F(Sqs, ManyGoInBatches) {
  auto many = options();
  many.max_in_flight = 100;
  listen(held.handler(), many);
  Connection& connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 100; ++i) outcomes.push_back(start_call(connection, request_with({Value(i)})));
  ASSERT_TRUE(held.wait_for(100));
  const auto sent = batch_sizes("SendMessageBatch");
  EXPECT_THAT(sent, Each(Le(10U)));
  EXPECT_THAT(sent, ::testing::Contains(10U));
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  for (int i = 0; i < 100; ++i) {
    ASSERT_NE(outcomes[static_cast<std::size_t>(i)].message(), nullptr);
    EXPECT_EQ(outcomes[static_cast<std::size_t>(i)].message()->values.at(0).integer(), i);
  }
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_THAT(batch_sizes("DeleteMessageBatch"), ::testing::Contains(Gt(1U)));
}

TEST_F(Sqs, BatchesAreNoLargerThanTheServiceTakes) {
  auto many = options();
  many.max_in_flight = 20;
  listen(echo, many);
  Connection& connection = connect();
  const auto tensor = iota_u8(300'000);
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 20; ++i) outcomes.push_back(start_call(connection, request_with({tensor})));
  for (const auto& outcome : outcomes) {
    ASSERT_NE(outcome.message(), nullptr) << to_string(*outcome.error());
    EXPECT_TRUE(bit_identical(outcome.message()->values.at(0), Value(tensor)));
  }
  EXPECT_THAT(batch_sizes("SendMessageBatch"), Each(Le(2U)));
}

// ---- large bodies ------------------------------------------------------------------------------

TEST_F(Sqs, SizesRoundTheLimitOfAMessage) {
  listen();
  Connection& connection = connect();
  // In base64 1 MiB, less what the attributes of a dead-lettered one take, are about 784,800 bytes of a message.
  for (const std::int64_t bytes : {1, 700'000, 784'000, 784'600, 784'700, 784'800, 785'000, 786'432, 3'000'000}) {
    const auto tensor = iota_u8(bytes);
    const auto reply = call_and_wait(connection, request_with({tensor}));
    EXPECT_TRUE(bit_identical(reply.values.at(0), Value(tensor))) << bytes;
  }
}

TEST_F(Sqs, QueuesMayTakeLess) {
  sqs.remove_queue("work");
  sqs.make_queue("work", {{"MaximumMessageSize", "16384"}});
  listen();
  Connection& connection = connect();
  for (const std::int64_t bytes : {1, 10'000, 12'288, 100'000}) {
    const auto tensor = iota_u8(bytes);
    EXPECT_TRUE(bit_identical(call_and_wait(connection, request_with({tensor})).values.at(0), Value(tensor))) << bytes;
  }
}

TEST_F(Sqs, WhatIsTooLargeLiesInTheStoreMeanwhile) {
  std::map<std::string, std::string> objects;
  listen([&](const Message&, const CallContext&, const Responder& respond) {
    objects = sqs.store.objects();
    respond(reply_with({iota_u8(2'000'000)}));
  });
  Connection& connection = connect();
  EXPECT_THAT(call_and_wait(connection, request_with({iota_u8(1'000'000)})).values, SizeIs(1));
  ASSERT_THAT(objects, SizeIs(1));
  EXPECT_THAT(objects.begin()->first, HasSubstr("/bodies/some/prefix/requests/"));
  EXPECT_GT(objects.begin()->second.size(), 1'000'000U);
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.store.objects().empty(); })) << "while the connection is there";
}

TEST_F(Sqs, WithoutAStoreItIsTooLarge) {
  auto small = options();
  small.store = "";
  listen(
      [](const Message&, const CallContext&, const Responder& respond) { respond(reply_with({iota_u8(1'000'000)})); },
      small);
  Connection& connection = connect(small);
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({iota_u8(1'000'000)})); }, &words),
            ErrorCode::too_large);
  EXPECT_THAT(words, HasSubstr("SPLITNET_STORE"));
  EXPECT_THAT(sqs.requests("SendMessageBatch"), IsEmpty());
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({})); }, &words), ErrorCode::too_large)
      << "the answer";
  EXPECT_THAT(words, HasSubstr("SPLITNET_STORE"));
}

TEST_F(Sqs, BothSidesNeedTheSameStore) {
  auto other = options();
  other.store = "s3://bodies/other";
  listen(
      [](const Message&, const CallContext&, const Responder& respond) { respond(reply_with({iota_u8(1'000'000)})); },
      other);
  Connection& connection = connect();
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({iota_u8(1'000'000)})); }, &words),
            ErrorCode::invalid_argument);
  EXPECT_THAT(words, HasSubstr("s3://bodies/other/"));
  EXPECT_EQ(thrown_code([&] { call_and_wait(connection, request_with({})); }, &words), ErrorCode::too_large);
  EXPECT_THAT(words, HasSubstr("s3://bodies/some/prefix/"));
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.store.objects().size() <= 1; }));
  const auto store = ObjectStore::open("s3://bodies/other", sqs.options());
  for (const auto& [path, bytes] : sqs.store.objects())
    store->remove(path.substr(std::string("/bodies/other/").size()));
}

// ---- the end of calls --------------------------------------------------------------------------

TEST_F(Sqs, CancellingEndsTheCallHere) {
  listen(held.handler());
  std::stop_source stop;
  Connection& connection = connect();
  const auto outcome = start_call(connection, request_with({}), {}, stop.get_token());
  ASSERT_TRUE(held.wait_for(1));
  stop.request_stop();
  EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
  held.take().at(0).respond(reply_with({Value(1)}));  // Late: dropped.
  const auto next = start_call(connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_EQ(next.count(), 0);
  held.take().at(0).respond(reply_with({Value(2)}));
  ASSERT_NE(next.message(), nullptr);
  EXPECT_EQ(next.message()->values.at(0).integer(), 2);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_F(Sqs, WhatIsLateInTheQueueIsDeletedUnseen) {
  Connection& connection = connect();
  const auto late = start_call(connection, request_with({}), std::chrono::steady_clock::now() + 1h);
  const auto patient = start_call(connection, request_with({Value(1)}));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 2; }));
  sqs.pass_time(2h);
  std::atomic<int> handled = 0;
  listen([&](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  });
  EXPECT_NE(patient.message(), nullptr);
  EXPECT_TRUE(sqs.wait_until([&] { return sqs.messages("work").empty(); }));
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(late.count(), 0) << "by its own clock it has an hour";
  connections.clear();
  EXPECT_EQ(late.error(), ErrorCode::unavailable);
}

TEST_F(Sqs, TimeInTheQueueCounts) {
  Connection& connection = connect();
  const auto sent = std::chrono::steady_clock::now();
  const auto outcome = start_call(connection, request_with({}), sent + 1h);
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 1; }));
  sqs.pass_time(20min);
  listen(held.handler());
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  ASSERT_TRUE(items[0].context.deadline);
  EXPECT_LT(*items[0].context.deadline, sent + 41min);
  EXPECT_GT(*items[0].context.deadline, sent + 39min);
  items[0].respond(reply_with({}));
  EXPECT_NE(outcome.message(), nullptr);
}

TEST_F(Sqs, EndsAtTheDeadlineWithoutAWorker) {
  const auto outcome = start_call(connect(), request_with({}), std::chrono::steady_clock::now() + 300ms);
  EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(outcome.count(), 1);
}

// ---- the end of listeners ----------------------------------------------------------------------

TEST_F(Sqs, ClosingGivesBackWhatIsNotDone) {
  auto one = options();
  one.max_in_flight = 1;  // None of its polls is under way, which would take away what is given back.
  Listener& first = listen(held.handler(), one);
  const auto outcome = start_call(connect(), request_with({Value(5)}));
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  first.close();
  EXPECT_TRUE(items[0].context.stop.stop_requested());
  EXPECT_FALSE(sqs.messages("work").at(0).is_hidden) << "nobody has to wait for its end";
  items[0].respond(reply_with({Value(6)}));  // Too late: another one answers.
  listen();
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 5);
}

TEST_F(Sqs, ADrainingListenerTakesNothingMoreAndFinishes) {
  auto one = options();
  one.max_in_flight = 1;
  Listener& listener = listen(held.handler(), one);
  Connection& connection = connect();
  const auto first = start_call(connection, request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  listener.drain();
  const auto second = start_call(connection, request_with({Value(2)}));
  held.take().at(0).respond(reply_with({Value(1)}));
  EXPECT_NE(first.message(), nullptr);
  EXPECT_FALSE(held.wait_for(1, 100ms));
  ASSERT_TRUE(sqs.wait_until([&] { return sqs.messages("work").size() == 1; }));
  EXPECT_EQ(sqs.messages("work").at(0).deliveries, 0) << "not taken only to be given back";
  listen();
  EXPECT_NE(second.message(), nullptr);
}

/// One that waits for requests at that moment has its poll end with nothing, or gives back what it brings.
TEST_F(Sqs, DrainingWhileItPollsLosesNothing) {
  for (int round = 0; round < 5; ++round) {
    Listener& listener = listen(held.handler());
    std::vector<Outcome> outcomes;
    Connection& connection = connect();
    for (int i = 0; i < 10; ++i) outcomes.push_back(start_call(connection, request_with({Value(i)})));
    listener.drain();
    listen();
    ASSERT_TRUE(sqs.wait_until([&] {
      sqs.pass_time(1s);  // What was on its way to a poll that was given up.
      for (auto& item : held.take()) item.respond(reply_with(item.request.values));
      return sqs.messages("work").empty();
    }));
    for (const auto& outcome : outcomes) EXPECT_NE(outcome.message(), nullptr);
    connections.clear();
    listeners.clear();
  }
}

// ---- errors of connect and listen ----------------------------------------------------------------

TEST_F(Sqs, EndpointsThatAreNone) {
  const auto transport = make_sqs_transport(options());
  for (const char* endpoint : {"sqs://", "sqs:work", "sqs://a/b", "sqs://a b", "sqs://work.fifo", "tcp://work"}) {
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected sqs://", [&] { (void)transport->connect(endpoint, {}); }))
        << endpoint;
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected sqs://", [&] {
      (void)transport->listen(endpoint, echo, {});
    })) << endpoint;
  }
}

TEST_F(Sqs, NoSuchQueue) {
  const auto transport = make_sqs_transport(options());
  for (const auto& what :
       std::vector<std::function<void()>>{[&] { (void)transport->connect("sqs://elsewhere", {}); },
                                          [&] { (void)transport->listen("sqs://elsewhere", echo, {}); }}) {
    std::string words;
    EXPECT_EQ(thrown_code(what, &words), ErrorCode::invalid_argument);
    EXPECT_THAT(words, HasSubstr("sqs://elsewhere"));
    EXPECT_THAT(words, HasSubstr("eu-central-1"));
    EXPECT_THAT(words, HasSubstr("QueueDoesNotExist"));
  }
}

TEST_F(Sqs, NobodyThere) {
  auto nowhere = options();
  nowhere.aws.endpoint = "http://127.0.0.1:1";
  std::string words;
  EXPECT_EQ(thrown_code([&] { connect(nowhere); }, &words), ErrorCode::unavailable);
  EXPECT_THAT(words, HasSubstr(testing::work));
  EXPECT_EQ(thrown_code([&] { listen(echo, nowhere); }), ErrorCode::unavailable);
}

TEST_F(Sqs, NoCredentials) {
  auto nobody = options();
  nobody.aws.credentials = fixed_aws_credentials({"", ""});
  EXPECT_EQ(thrown_code([&] { connect(nobody); }), ErrorCode::unauthenticated);
  EXPECT_EQ(thrown_code([&] { listen(echo, nobody); }), ErrorCode::unauthenticated);
}

TEST_F(Sqs, OptionsThatAreNone) {
  const auto refuses = [&](const char* field, const std::function<void(SqsOptions&)>& change) {
    auto changed = options();
    change(changed);
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, field, [&] { changed.validate(); }));
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, field, [&] { (void)make_sqs_transport(changed); }));
  };
  refuses("visibility_timeout", [](SqsOptions& changed) { changed.visibility_timeout = 1s; });
  refuses("visibility_timeout", [](SqsOptions& changed) { changed.visibility_timeout = 8h + 1s; });
  refuses("max_in_flight", [](SqsOptions& changed) { changed.max_in_flight = 0; });
  refuses("max_deliveries", [](SqsOptions& changed) { changed.max_deliveries = 0; });
  refuses("wait_time", [](SqsOptions& changed) { changed.wait_time = 21s; });
  options().validate();
  for (const char* name : {"a b", "work"}) {
    auto changed = options();
    changed.dead_letter_queue = name;
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "dead_letter_queue", [&] { listen(echo, changed); })) << name;
  }
}

TEST_F(Sqs, IsOneOfTheTransportsOfAws) {
  listen();
  auto registry = TransportRegistry::with_defaults();
  add_aws_transports(registry, sqs.options());
  const auto connection = registry.connect(testing::work);
  EXPECT_THAT(call_and_wait(*connection, request_with({true})).values, SizeIs(1));
  const auto shaped = registry.connect("shaped://delay=20ms@sqs://work");
  EXPECT_THAT(call_and_wait(*shaped, request_with({true})).values, SizeIs(1));
}

}  // namespace
}  // namespace splitnet
