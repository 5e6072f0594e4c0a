// SPDX-License-Identifier: Apache-2.0
// The stand-in answers as the service does (its API reference, and moto, of which most of these answers were taken).
#include "sqs_stand_in.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "aws/service.hpp"
#include "error_of.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::SqsStandIn;
using Json = SqsStandIn::Json;
using Fault = SqsStandIn::Fault;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SqsStandInTest : public ::testing::Test {
 protected:
  SqsStandInTest() : service(std::make_shared<detail::AwsService>("sqs", sqs.options())) { sqs.make_queue("work"); }

  detail::HttpClient::Result send(const std::string& action, const std::string& body, std::stop_token stop = {}) {
    std::promise<detail::HttpClient::Result> promise;
    service->send({.headers = {{"content-type", "application/x-amz-json-1.0"}, {"x-amz-target", "AmazonSQS." + action}},
                   .body = detail::body_of(body)},
                  {}, std::move(stop),
                  [&](detail::HttpClient::Result result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  /// The document, with "status" in it.
  Json ask(const std::string& action, Json document) {
    if (!document.contains("QueueUrl")) document["QueueUrl"] = url;
    const auto reply = std::get<detail::HttpReply>(send(action, document.dump()));
    Json answer = Json::parse(reply.body);
    answer["status"] = reply.status;
    return answer;
  }
  std::string error(const std::string& action, const Json& document) {
    return ask(action, document).value("__type", "none").substr(18);
  }
  Json receive(Json document = Json::object()) {
    document["MessageSystemAttributeNames"] = {"All"};
    document["MessageAttributeNames"] = {"All"};
    return ask("ReceiveMessage", document).value("Messages", Json::array());
  }

  SqsStandIn sqs;
  std::shared_ptr<detail::AwsService> service;
  const std::string url = sqs.options().endpoint + "/123456789012/work";
};

TEST_F(SqsStandInTest, SendsReceivesAndDeletes) {
  const Json attributes = {{"from", {{"DataType", "String"}, {"StringValue", "me"}}}};
  const Json sent = ask("SendMessage", {{"MessageBody", "hello"}, {"MessageAttributes", attributes}});
  EXPECT_EQ(sent.at("MD5OfMessageBody"), "5d41402abc4b2a76b9719d911017c592");
  const Json got = receive();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].at("Body"), "hello");
  EXPECT_EQ(got[0].at("MessageId"), sent.at("MessageId"));
  EXPECT_EQ(got[0].at("MessageAttributes"), attributes);
  EXPECT_EQ(got[0].at("Attributes").at("ApproximateReceiveCount"), "1");
  EXPECT_THAT(receive(), IsEmpty()) << "hidden";
  sqs.pass_time(31s);
  const Json again = receive();
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].at("Attributes").at("ApproximateReceiveCount"), "2");
  EXPECT_EQ(again[0].at("Attributes").at("ApproximateFirstReceiveTimestamp"),
            got[0].at("Attributes").at("ApproximateFirstReceiveTimestamp"));
  EXPECT_EQ(ask("DeleteMessage", {{"ReceiptHandle", got[0].at("ReceiptHandle")}}).at("status"), 200);
  EXPECT_THAT(sqs.messages("work"), SizeIs(1)) << "a handle of an earlier delivery deletes nothing";
  EXPECT_EQ(ask("DeleteMessage", {{"ReceiptHandle", again[0].at("ReceiptHandle")}}).at("status"), 200);
  EXPECT_THAT(sqs.messages("work"), IsEmpty());
}

TEST_F(SqsStandInTest, ChangesHowLongAMessageIsHidden) {
  sqs.send("work", "one");
  const Json handle = receive().at(0).at("ReceiptHandle");
  EXPECT_EQ(ask("ChangeMessageVisibility", {{"ReceiptHandle", handle}, {"VisibilityTimeout", 100}}).at("status"), 200);
  sqs.pass_time(99s);
  EXPECT_THAT(receive(), IsEmpty());
  EXPECT_EQ(ask("ChangeMessageVisibility", {{"ReceiptHandle", handle}, {"VisibilityTimeout", 0}}).at("status"), 200);
  EXPECT_EQ(error("ChangeMessageVisibility", {{"ReceiptHandle", handle}, {"VisibilityTimeout", 5}}),
            "MessageNotInflight");
  EXPECT_THAT(receive(), SizeIs(1));
  EXPECT_EQ(error("ChangeMessageVisibility", {{"ReceiptHandle", handle}, {"VisibilityTimeout", 5}}),
            "InvalidParameterValue");
  EXPECT_EQ(error("ChangeMessageVisibility", {{"ReceiptHandle", "x"}, {"VisibilityTimeout", 5}}),
            "ReceiptHandleIsInvalid");
}

TEST_F(SqsStandInTest, DoesBatchesEntryByEntry) {
  Json entries = Json::array();
  for (int i = 0; i < 10; ++i) entries.push_back({{"Id", std::to_string(i)}, {"MessageBody", "m"}});
  sqs.fail(Fault::entries_fail, 1, "SendMessageBatch");
  const Json half = ask("SendMessageBatch", {{"Entries", entries}});
  EXPECT_THAT(half.at("Successful"), SizeIs(5));
  EXPECT_THAT(half.at("Failed"), SizeIs(5));
  EXPECT_EQ(half.at("Failed")[0].at("SenderFault"), false);
  EXPECT_THAT(ask("SendMessageBatch", {{"Entries", entries}}).at("Successful"), SizeIs(10));
  const Json got = receive({{"MaxNumberOfMessages", 10}});
  EXPECT_THAT(got, SizeIs(10));
  const Json some =
      ask("DeleteMessageBatch",
          {{"Entries",
            {{{"Id", "a"}, {"ReceiptHandle", got[0].at("ReceiptHandle")}}, {{"Id", "b"}, {"ReceiptHandle", "x"}}}}});
  EXPECT_EQ(some.at("Successful")[0].at("Id"), "a");
  EXPECT_EQ(some.at("Failed")[0].at("Code"), "ReceiptHandleIsInvalid");
  EXPECT_EQ(error("SendMessageBatch", {{"Entries", Json::array()}}), "EmptyBatchRequest");
  EXPECT_EQ(error("SendMessageBatch", {{"Entries", {entries[0], entries[0]}}}), "BatchEntryIdsNotDistinct");
  entries.push_back({{"Id", "10"}, {"MessageBody", "m"}});
  EXPECT_EQ(error("SendMessageBatch", {{"Entries", entries}}), "TooManyEntriesInBatchRequest");
  const std::string large(600'000, 'x');
  EXPECT_EQ(error("SendMessageBatch",
                  {{"Entries", {{{"Id", "a"}, {"MessageBody", large}}, {{"Id", "b"}, {"MessageBody", large}}}}}),
            "BatchRequestTooLong");
}

TEST_F(SqsStandInTest, RefusesWhatTheServiceRefuses) {
  EXPECT_EQ(error("SendMessage", {{"MessageBody", std::string(1'048'577, 'x')}}), "InvalidParameterValue");
  EXPECT_EQ(error("SendMessage", {{"MessageBody", ""}}), "MissingParameter");
  EXPECT_EQ(error("SendMessage", {{"MessageBody", "\x01"}}), "InvalidMessageContents");
  EXPECT_EQ(error("ReceiveMessage", {{"MaxNumberOfMessages", 11}}), "InvalidParameterValue");
  EXPECT_EQ(error("ReceiveMessage", {{"WaitTimeSeconds", 21}}), "InvalidParameterValue");
  EXPECT_EQ(error("GetQueueUrl", {{"QueueName", "other"}}), "QueueDoesNotExist");
  EXPECT_EQ(error("CreateQueue", {{"QueueName", "a b"}}), "InvalidParameterValue");
  EXPECT_EQ(error("CreateQueue", {{"QueueName", "work"}, {"Attributes", {{"VisibilityTimeout", "31"}}}}),
            "QueueNameExists");
  EXPECT_EQ(ask("CreateQueue", {{"QueueName", "work"}}).at("QueueUrl"), url);
  EXPECT_EQ(ask("DeleteQueue", {}).at("status"), 200);
  EXPECT_EQ(error("SendMessage", {{"MessageBody", "x"}}), "QueueDoesNotExist");
  EXPECT_EQ(std::get<detail::HttpReply>(send("SendMessage", "{no")).status, 400);
}

TEST_F(SqsStandInTest, WaitsForMessages) {
  auto waiting = std::async(std::launch::async, [&] { return receive({{"WaitTimeSeconds", 20}}); });
  ASSERT_TRUE(sqs.wait_until([&] { return !sqs.requests("ReceiveMessage").empty(); }));
  sqs.send("work", "late");
  EXPECT_EQ(waiting.get().at(0).at("Body"), "late");
}

TEST_F(SqsStandInTest, GivesNothingToWhoHasGone) {
  std::stop_source stop;
  auto waiting = std::async(std::launch::async, [&] {
    return send("ReceiveMessage", Json({{"QueueUrl", url}, {"WaitTimeSeconds", 20}}).dump(), stop.get_token());
  });
  ASSERT_TRUE(sqs.wait_until([&] { return !sqs.requests("ReceiveMessage").empty(); }));
  stop.request_stop();
  EXPECT_EQ(std::get<Error>(waiting.get()).code(), ErrorCode::cancelled);
  std::this_thread::sleep_for(100ms);
  sqs.send("work", "late");
  EXPECT_EQ(sqs.messages("work").at(0).deliveries, 0);
}

TEST_F(SqsStandInTest, MisbehavesAsToldTo) {
  sqs.fail(Fault::throttled);
  EXPECT_EQ(ask("GetQueueUrl", {{"QueueName", "work"}}).at("__type"), "com.amazonaws.sqs#ThrottlingException");
  sqs.fail(Fault::out_of_service, 1, "SendMessage");
  EXPECT_EQ(ask("GetQueueUrl", {{"QueueName", "work"}}).at("status"), 200);
  EXPECT_EQ(ask("SendMessage", {{"MessageBody", "x"}}).at("status"), 503);
  sqs.fail(Fault::answer_lost, 2);  // libcurl sends a request again when a connection that it has kept is lost.
  EXPECT_EQ(std::get<Error>(send("SendMessage", Json({{"QueueUrl", url}, {"MessageBody", "x"}}).dump())).code(),
            ErrorCode::unavailable);
  EXPECT_FALSE(sqs.messages("work").empty()) << "but it was done";
  sqs.forget();
  EXPECT_EQ(error("GetQueueUrl", {{"QueueName", "work"}}), "QueueDoesNotExist");
}

TEST_F(SqsStandInTest, DeliversBackwards) {
  sqs.delivers_backwards = true;
  for (const char* body : {"1", "2", "3"}) sqs.send("work", body);
  std::vector<std::string> bodies;
  for (const auto& message : receive({{"MaxNumberOfMessages", 10}})) bodies.push_back(message.at("Body"));
  EXPECT_THAT(bodies, ElementsAre("3", "2", "1"));
}

TEST_F(SqsStandInTest, DeliversAgain) {
  sqs.delivers_again = true;
  sqs.send("work", "x");
  const Json first = receive();
  const Json second = receive();
  ASSERT_THAT(first, SizeIs(1));
  ASSERT_THAT(second, SizeIs(1)) << "while the first one has it";
  EXPECT_EQ(first[0].at("MessageId"), second[0].at("MessageId"));
  EXPECT_THAT(receive(), IsEmpty());
  (void)ask("DeleteMessage", {{"ReceiptHandle", second[0].at("ReceiptHandle")}});
  const Json third = receive();
  ASSERT_THAT(third, SizeIs(1)) << "after it was deleted";
  (void)ask("DeleteMessage", {{"ReceiptHandle", third[0].at("ReceiptHandle")}});
  EXPECT_THAT(sqs.messages("work"), IsEmpty());
}

TEST_F(SqsStandInTest, StopsAndStartsOnItsPort) {
  sqs.stop();
  EXPECT_EQ(std::get<Error>(send("GetQueueUrl", "{}")).code(), ErrorCode::unavailable);
  sqs.start();
  EXPECT_EQ(ask("GetQueueUrl", {{"QueueName", "work"}}).at("QueueUrl"), url);
}

TEST_F(SqsStandInTest, LooksAtTheTimeOfASignature) {
  sqs.clock_ahead = 2h;
  EXPECT_EQ(ask("GetQueueUrl", {{"QueueName", "work"}}).at("status"), 200) << "the second time, by its clock";
  EXPECT_THAT(sqs.requests("GetQueueUrl"), SizeIs(2));
}

}  // namespace
}  // namespace splitnet
