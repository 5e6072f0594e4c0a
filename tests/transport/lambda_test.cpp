// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/lambda.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "aws/lambda_stand_in.hpp"
#include "error_of.hpp"
#include "splitnet/aws/transports.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "splitnet/trace.hpp"
#include "splitnet/transport/lambda_runtime.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using ::testing::HasSubstr;
using testing::iota_u8;
using ::testing::IsEmpty;
using testing::LambdaStandIn;
using ::testing::Not;
using testing::Outcome;
using testing::reply_with;
using testing::request_with;
using testing::ScriptedServer;
using ::testing::SizeIs;
using testing::start_call;
using testing::thrown_code;

/// A function that runs in this process, and a connection to it.
class Lambda : public ::testing::Test {
 protected:
  void listen(Handler handler = echo, const std::string& store = "s3://bodies/some/prefix") {
    listener = make_lambda_runtime_transport({aws.options(), store})->listen(aws.runtime(), std::move(handler), {});
  }
  std::unique_ptr<Connection> connect(const std::string& store = "s3://bodies/some/prefix",
                                      const ConnectOptions& options = {}) {
    return make_lambda_transport({aws.options(), store})->connect("lambda://tail:live", options);
  }

  LambdaStandIn aws;
  std::unique_ptr<Listener> listener;
};

TEST_F(Lambda, CarriesRequestsAndReplies) {
  std::promise<Message> seen;
  listen([&seen](Message request, const CallContext& context, const Responder& respond) {
    EXPECT_TRUE(context.deadline.has_value());
    seen.set_value(request);
    auto reply = reply_with(std::move(request.values));
    reply.times_s["run"] = 0.25;
    respond(std::move(reply));
  });
  const auto connection = connect();
  const std::vector<Value> values{None{}, std::int64_t{-7}, "text", iota_u8(1000), List{{Value(1), Value(iota_u8(3))}}};
  auto request = request_with(values);
  request.request.fingerprint = "abc";
  request.trace = new_trace();
  const auto reply = call_and_wait(*connection, request);
  const Message got = seen.get_future().get();
  EXPECT_EQ(got.request, request.request);
  EXPECT_EQ(got.trace, request.trace);
  ASSERT_EQ(reply.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], values[i])) << i;
  EXPECT_EQ(reply.times_s.at("run"), 0.25);
  EXPECT_EQ(std::string(aws.invocations().at(0).target()), "/2015-03-31/functions/tail%3Alive/invocations");
}

TEST_F(Lambda, TheFirstReplySaysHowLongTheStartTook) {
  listen();
  const auto connection = connect();
  const auto first = call_and_wait(*connection, request_with({}));
  EXPECT_GT(first.times_s.at("init"), 0);
  EXPECT_EQ(call_and_wait(*connection, request_with({})).times_s.count("init"), 0U);
}

TEST_F(Lambda, SizesRoundTheLimitOfAnInvocation) {
  listen();
  const auto connection = connect();
  // In base64 and JSON 6,291,456 bytes are 4,718,580 of a message.
  for (const std::int64_t bytes : {1, 2, 3, 4'000'000, 4'717'000, 4'718'200, 4'718'580, 4'720'000, 20'000'000}) {
    const auto tensor = iota_u8(bytes);
    const auto reply = call_and_wait(*connection, request_with({tensor}));
    EXPECT_TRUE(bit_identical(reply.values.at(0), Value(tensor))) << bytes;
  }
  for (const auto& request : aws.invocations()) EXPECT_LE(request.body().size(), 6'291'456U);
  connection->close();
  EXPECT_THAT(aws.store.objects(), IsEmpty()) << "what was too large for an invocation is removed";
}

TEST_F(Lambda, WhatIsTooLargeLiesInTheStoreMeanwhile) {
  std::map<std::string, std::string> objects;
  listen([&](Message, const CallContext&, const Responder& respond) {
    objects = aws.store.objects();
    respond(reply_with({}));
  });
  const auto connection = connect();
  EXPECT_TRUE(call_and_wait(*connection, request_with({iota_u8(10'000'000)})).values.empty());
  ASSERT_EQ(objects.size(), 1U);
  EXPECT_THAT(objects.begin()->first, HasSubstr("/bodies/some/prefix/requests/"));
  EXPECT_GT(objects.begin()->second.size(), 10'000'000U);
}

TEST_F(Lambda, WithoutAStoreItIsTooLarge) {
  listen(echo, "");
  const auto connection = connect("");
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(5'000'000)})); }, &words),
            ErrorCode::too_large);
  EXPECT_THAT(words, HasSubstr("SPLITNET_STORE"));
  EXPECT_THAT(aws.invocations(), IsEmpty());
}

TEST_F(Lambda, ReplyTooLargeForAFunctionWithoutAStore) {
  listen([](Message, const CallContext&, const Responder& respond) { respond(reply_with({iota_u8(5'000'000)})); }, "");
  const auto connection = connect();
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({})); }), ErrorCode::too_large);
}

TEST_F(Lambda, AStoreThatIsNotThere) {
  listen();
  const auto connection = connect("s3://nothing-here");
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(5'000'000)})); }, &words),
            ErrorCode::invalid_argument);
  EXPECT_THAT(words, HasSubstr("NoSuchBucket"));
  EXPECT_THAT(words, HasSubstr("s3://nothing-here/requests/"));
}

TEST_F(Lambda, BothSidesNeedTheSameStore) {
  listen(echo, "s3://bodies/other");
  const auto connection = connect();
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(5'000'000)})); }, &words),
            ErrorCode::invalid_argument);
  EXPECT_THAT(words, HasSubstr("no request in the store of this worker (s3://bodies/other/)"));
  connection->close();
  EXPECT_THAT(aws.store.objects(), IsEmpty());
}

TEST_F(Lambda, ErrorsOfTheWorkerComeAsTheyAre) {
  listen([](Message, const CallContext&, const Responder& respond) {
    respond(Message::make_error(Error(ErrorCode::overloaded, "come back later", 2.5)));
  });
  const auto connection = connect();
  const auto error = testing::error_of([&] { call_and_wait(*connection, request_with({})); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::overloaded);
  EXPECT_EQ(error->retry_after_s(), 2.5);
}

TEST_F(Lambda, ManyCallsAtOnce) {
  listen();
  const auto connection = connect();
  std::vector<Outcome> outcomes;
  for (std::int64_t i = 0; i < 50; ++i) outcomes.push_back(testing::start_call(*connection, request_with({i})));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    ASSERT_NE(outcomes[i].message(), nullptr);
    EXPECT_EQ(outcomes[i].message()->values.at(0).integer(), static_cast<std::int64_t>(i));
  }
}

TEST_F(Lambda, DeadlinesAndCancelling) {
  testing::Held held;
  listen(held.handler());
  const auto connection = connect();
  EXPECT_EQ(thrown_code([&] {
              call_and_wait(*connection, request_with({iota_u8(5'000'000)}), std::chrono::steady_clock::now() + 200ms);
            }),
            ErrorCode::deadline_exceeded);
  std::stop_source stop;
  Outcome outcome;
  connection->call(request_with({}), {}, stop.get_token(), outcome.completion());
  std::this_thread::sleep_for(50ms);
  stop.request_stop();
  ASSERT_TRUE(outcome.wait());
  EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
  connection->close();
  EXPECT_THAT(aws.store.objects(), IsEmpty());
}

TEST_F(Lambda, ClosingEndsCallsAndEmptiesTheStore) {
  testing::Held held;
  listen(held.handler());
  auto connection = connect();
  Outcome outcome;
  connection->call(request_with({iota_u8(5'000'000)}), {}, {}, outcome.completion());
  while (aws.store.objects().empty()) std::this_thread::sleep_for(1ms);
  connection.reset();
  ASSERT_TRUE(outcome.wait());
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(outcome.count(), 1);
  EXPECT_THAT(aws.store.objects(), IsEmpty());
}

/// The call does not wait longer than it may, nor does the end of the connection.
TEST_F(Lambda, AStoreThatHangsDoesNotHoldUpTheCall) {
  listen();
  const auto connection = connect();
  aws.store.hangs = true;
  EXPECT_EQ(thrown_code([&] {
              call_and_wait(*connection, request_with({iota_u8(5'000'000)}), std::chrono::steady_clock::now() + 200ms);
            }),
            ErrorCode::deadline_exceeded);
  EXPECT_EQ(call_and_wait(*connection, request_with({true})).values.size(), 1U) << "others go on";
  connection->close();
  EXPECT_THAT(aws.invocations(), SizeIs(1));
}

TEST_F(Lambda, AStoreThatHangsEndsACallWithoutADeadline) {
  listen();
  auto options = aws.options();
  options.stall_timeout = 1s;
  const auto connection =
      make_lambda_transport({options, "s3://bodies/some/prefix"})->connect("lambda://tail:live", {});
  aws.store.hangs = true;
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(5'000'000)})); }, &words),
            ErrorCode::unavailable);
  EXPECT_THAT(words, HasSubstr("/bodies/some/prefix/requests/"));
  EXPECT_THAT(aws.invocations(), IsEmpty());
}

TEST_F(Lambda, OnlyRepliesOfTheStoreAreFollowed) {
  const auto store = ObjectStore::open("s3://bodies/some/prefix", aws.options());
  const std::string key = "0123456789abcdef0123456789abcdef";
  for (const std::string& other : {std::string("secret"), "requests/" + key, "replies/" + key + "0"}) {
    store->put(other, "something else");
    LambdaStandIn lambda([&](const auto& request) -> std::optional<ScriptedServer::Response> {
      if (request["x-amz-invocation-type"] == "DryRun") return std::nullopt;
      return ScriptedServer::reply(200, R"({"splitnet_at":"s3://bodies/some/prefix/)" + other + "\"}");
    });
    ASSERT_EQ(::setenv("AWS_ENDPOINT_URL_LAMBDA", lambda.options().endpoint.c_str(), 1), 0);
    ASSERT_EQ(::setenv("AWS_ENDPOINT_URL_S3", aws.options().endpoint.c_str(), 1), 0);
    auto options = aws.options();
    options.endpoint = "";
    const auto connection = make_lambda_transport({options, "s3://bodies/some/prefix"})->connect("lambda://tail", {});
    ASSERT_EQ(::unsetenv("AWS_ENDPOINT_URL_LAMBDA") + ::unsetenv("AWS_ENDPOINT_URL_S3"), 0);
    std::string words;
    EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({})); }, &words), ErrorCode::too_large);
    EXPECT_THAT(words, HasSubstr("no reply in the store of this side (s3://bodies/some/prefix/)"));
    connection->close();
    EXPECT_EQ(store->get(other), "something else") << "neither read nor removed";
  }
}

TEST_F(Lambda, TheTraceIsSentAndNotSigned) {
  listen();
  const auto connection = connect();
  auto request = request_with({});
  request.trace = new_trace();
  (void)call_and_wait(*connection, request);
  const auto invocation = aws.invocations().at(0);
  EXPECT_THAT(std::string(invocation["x-amzn-trace-id"]), HasSubstr("Root=1-"));
  const std::string authorization(invocation["authorization"]);
  EXPECT_THAT(authorization, HasSubstr("SignedHeaders=content-type;host;x-amz-date;x-amz-invocation-type,"));
}

/// Whatever a provider of credentials throws, on whichever thread, is the error of that call.
TEST_F(Lambda, WhatIsThrownOnItsThreadsIsAnErrorOfTheCall) {
  listen();
  std::atomic<int> mode = 0;
  auto options = aws.options();
  options.credentials = [&mode, good = options.credentials] {
    if (mode == 1) throw std::bad_alloc();
    if (mode == 2) throw std::out_of_range("of the provider");
    if (mode == 3) throw 3;
    return good();
  };
  const auto connection = make_lambda_transport({options, "s3://bodies/some/prefix"})->connect("lambda://tail", {});
  for (const std::int64_t bytes : {1, 5'000'000}) {
    mode = 1;
    EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(bytes)})); }), ErrorCode::overloaded);
    mode = 2;
    std::string words;
    EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(bytes)})); }, &words),
              ErrorCode::internal);
    EXPECT_THAT(words, HasSubstr("of the provider"));
    mode = 3;
    EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({iota_u8(bytes)})); }), ErrorCode::internal);
    mode = 0;
    EXPECT_EQ(call_and_wait(*connection, request_with({iota_u8(bytes)})).values.size(), 1U);
  }
}

TEST_F(Lambda, ACompletionMayDestroyTheConnection) {
  listen();
  auto connection = connect();
  std::promise<void> destroyed;
  Connection& called = *connection;
  called.call(request_with({}), {}, {}, [&](const CallResult&) {
    connection.reset();
    destroyed.set_value();
  });
  destroyed.get_future().get();
}

// ---- what TransportConformance asks of every transport -------------------------------------------------------------
// The suite itself does not fit: one scheme listens and another one connects, a function has one request at a time, so
// that what holds several requests at once would wait for itself, a cancelled call goes on in the function, every
// request has a deadline there, and the first reply says how long the start took. What is left of it stands here.

TEST_F(Lambda, CarriesNumbersBitByBit) {
  listen();
  const auto connection = connect();
  std::vector<Value> values{std::numeric_limits<double>::quiet_NaN(), -0.0, Tensor::empty(DType::f32, {0, 3})};
  Tensor special = Tensor::empty(DType::f32, {5});
  const std::uint32_t bits[] = {0x7FC00001, 0x7F800001, 0xFF800000, 0x80000000, 0x00000001};
  std::memcpy(special.data(), bits, sizeof bits);
  values.emplace_back(special);
  for (unsigned i = 0; i < 300; ++i) values.emplace_back(iota_u8(i * 7, i));
  const auto reply = call_and_wait(*connection, request_with(values));
  ASSERT_EQ(reply.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], values[i])) << i;
}

TEST_F(Lambda, AReplyOutlivesTheConnection) {
  listen();
  for (const std::int64_t bytes : {100'000, 5'000'000}) {
    Message reply;
    {
      const auto connection = connect();
      reply = call_and_wait(*connection, request_with({iota_u8(bytes)}));
    }
    EXPECT_TRUE(bit_identical(reply.values.at(0), Value(iota_u8(bytes))));
  }
}

TEST_F(Lambda, WhatAHandlerThrowsOrLeavesOutIsAnAnswer) {
  listen([](const Message& request, const CallContext&, const Responder&) {
    if (request.values.at(0).integer() == 0) throw Error(ErrorCode::overloaded, "queue is full");
    if (request.values.at(0).integer() == 1) throw std::runtime_error("boom");
  });
  const auto connection = connect();
  EXPECT_EQ(start_call(*connection, request_with({Value(0)})).error(), ErrorCode::overloaded);
  EXPECT_EQ(start_call(*connection, request_with({Value(1)})).error(), ErrorCode::internal);
  EXPECT_EQ(start_call(*connection, request_with({Value(2)})).error(), ErrorCode::internal) << "a dropped responder";
}

TEST_F(Lambda, ASecondAnswerIsIgnored) {
  testing::Held held;
  listen(held.handler());
  const auto connection = connect();
  const auto first = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) {
    item.respond(reply_with({Value(1)}));
    item.respond(reply_with({Value(2)}));
  }
  ASSERT_NE(first.message(), nullptr);
  EXPECT_EQ(first.message()->values.at(0).integer(), 1);
  const auto next = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_EQ(next.count(), 0) << "the second answer must not be taken for this call's";
  held.take().at(0).respond(reply_with({}));
  EXPECT_NE(next.message(), nullptr);
}

TEST_F(Lambda, NothingIsSentThatIsLateCancelledOrTooLarge) {
  listen();
  ConnectOptions options;
  options.limits.max_message_bytes = 10'000;
  const auto connection = connect("s3://bodies/some/prefix", options);
  const auto late = start_call(*connection, request_with({}), std::chrono::steady_clock::now() - 1s);
  EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
  EXPECT_FALSE(late.came_inside_call());
  std::stop_source stop;
  stop.request_stop();
  const auto cancelled = start_call(*connection, request_with({}), {}, stop.get_token());
  EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
  EXPECT_FALSE(cancelled.came_inside_call());
  EXPECT_EQ(start_call(*connection, request_with({iota_u8(20'000)})).error(), ErrorCode::too_large);
  EXPECT_THAT(aws.invocations(), IsEmpty());
  EXPECT_NE(start_call(*connection, request_with({iota_u8(1'000)})).message(), nullptr);
}

TEST_F(Lambda, CompletesOnceAndNeverInsideTheCall) {
  listen();
  ConnectOptions options;
  options.max_calls_in_flight = 4;
  const auto connection = connect("s3://bodies/some/prefix", options);
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 100; ++i) outcomes.push_back(start_call(*connection, request_with({})));
  connection->close();
  for (int i = 0; i < 10; ++i) outcomes.push_back(start_call(*connection, request_with({})));
  for (const auto& outcome : outcomes) {
    ASSERT_TRUE(outcome.wait());
    EXPECT_FALSE(outcome.came_inside_call());
    EXPECT_EQ(outcome.count(), 1);
  }
  EXPECT_EQ(outcomes[50].error(), ErrorCode::overloaded);
  EXPECT_EQ(outcomes.back().error(), ErrorCode::unavailable);
}

TEST_F(Lambda, ACompletionMayCallAgain) {
  listen();
  const auto connection = connect();
  std::promise<int> depth;
  std::function<void(int)> again = [&](int level) {
    connection->call(request_with({Value(level)}), {}, {}, [&, level](const CallResult& result) {
      EXPECT_TRUE(std::holds_alternative<Message>(result));
      level < 10 ? again(level + 1) : depth.set_value(level);
    });
  };
  again(0);
  EXPECT_EQ(depth.get_future().get(), 10);
}

/// A deadline in an hour leaves nothing behind that the end of the connection would wait for.
TEST_F(Lambda, ClosingDoesNotWaitForDeadlines) {
  testing::Held held;
  listen(held.handler());
  auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}), std::chrono::steady_clock::now() + 1h);
  ASSERT_TRUE(held.wait_for(1));
  connection.reset();
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
}

TEST_F(Lambda, EndpointsThatAreNone) {
  const auto transport = make_lambda_transport({aws.options(), ""});
  for (const char* endpoint : {"lambda://", "lambda:tail", "lambda://a/b", "lambda://a b"}) {
    EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "expected lambda://FUNCTION", [&] {
      (void)transport->connect(endpoint, {});
    })) << endpoint;
  }
  EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "lambda-runtime://",
                              [&] { (void)transport->listen("lambda://tail", echo, {}); }));
}

TEST_F(Lambda, StandsBehindALinkToo) {
  listen();
  auto registry = TransportRegistry::with_defaults();
  add_aws_transports(registry, aws.options());
  const auto connection = registry.connect("shaped://delay=20ms@lambda://tail");
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(call_and_wait(*connection, request_with({true})).values.size(), 1U);
  EXPECT_GT(std::chrono::steady_clock::now() - start, 40ms);
}

TEST_F(Lambda, NobodyThere) {
  auto options = aws.options();
  options.endpoint = "http://127.0.0.1:1";
  std::string words;
  EXPECT_EQ(thrown_code(
                [&] {
                  (void)make_lambda_transport({options, ""})->connect("lambda://tail", {});
                },
                &words),
            ErrorCode::unavailable);
  EXPECT_THAT(words, HasSubstr("lambda://tail"));
}

TEST_F(Lambda, NoCredentials) {
  auto options = aws.options();
  options.credentials = fixed_aws_credentials({"", ""});
  EXPECT_EQ(thrown_code([&] {
              (void)make_lambda_transport({options, ""})->connect("lambda://tail", {});
            }),
            ErrorCode::unauthenticated);
  options.credentials = fixed_aws_credentials({"id", "secret", "token", std::chrono::system_clock::now() - 1s});
  EXPECT_EQ(thrown_code([&] {
              (void)make_lambda_transport({options, ""})->connect("lambda://tail", {});
            }),
            ErrorCode::unauthenticated);
}

// ---- what Lambda itself says -----------------------------------------------------------------------------

struct Refusal {
  int status = 0;
  std::string type;
  std::string body;
  ErrorCode code = ErrorCode::internal;
  std::string words;
};

ScriptedServer::Response response_of(const Refusal& refusal) {
  auto response = ScriptedServer::reply(refusal.status, refusal.body);
  if (!refusal.type.empty()) response.set("x-amzn-ErrorType", refusal.type + ":http://internal.amazon.com/coral/");
  if (refusal.status == 429) response.set("Retry-After", "3");
  return response;
}

class LambdaRefuses : public ::testing::TestWithParam<Refusal> {};

TEST_P(LambdaRefuses, WithAnErrorThatSaysWhatToDo) {
  const Refusal& refusal = GetParam();
  for (const bool when_connecting : {true, false}) {
    LambdaStandIn aws([&](const auto& request) -> std::optional<ScriptedServer::Response> {
      if (when_connecting != (request["x-amz-invocation-type"] == "DryRun")) return std::nullopt;
      return response_of(refusal);
    });
    const auto transport = make_lambda_transport({aws.options(), ""});
    const auto error = testing::error_of([&] {
      const auto connection = transport->connect("lambda://tail", {});
      call_and_wait(*connection, request_with({}), std::chrono::steady_clock::now() + 10s);
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), refusal.code) << error->what();
    EXPECT_THAT(error->what(), HasSubstr(refusal.words));
    EXPECT_THAT(error->what(), HasSubstr("lambda://tail"));
    EXPECT_THAT(error->what(), HasSubstr("eu-central-1"));
    EXPECT_THAT(error->what(), Not(HasSubstr("secret")));
    if (refusal.status == 429) {
      EXPECT_EQ(error->retry_after_s(), 3);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Errors, LambdaRefuses,
    ::testing::Values(
        Refusal{429, "TooManyRequestsException", R"({"message":"Rate Exceeded."})", ErrorCode::overloaded, "Rate"},
        Refusal{500, "ServiceException", R"({"Message":"oh"})", ErrorCode::unavailable, "oh"},
        Refusal{503, "", "", ErrorCode::unavailable, "503"},
        Refusal{502, "EC2ThrottledException", "{}", ErrorCode::overloaded, "EC2Throttled"},
        Refusal{413, "RequestTooLargeException", R"({"message":"big"})", ErrorCode::too_large, "big"},
        Refusal{404, "ResourceNotFoundException", R"({"Message":"Function not found: arn"})",
                ErrorCode::invalid_argument, "in this region"},
        Refusal{403, "ExpiredTokenException", R"({"message":"The security token included in the request is expired"})",
                ErrorCode::unauthenticated, "get new ones"},
        Refusal{403, "UnrecognizedClientException", "{}", ErrorCode::unauthenticated, "another account"},
        Refusal{403, "InvalidSignatureException", R"({"message":"Signature expired: 20260101T000000Z is now earlier"})",
                ErrorCode::unauthenticated, "clock"},
        Refusal{403, "SignatureDoesNotMatch",
                R"({"message":"Credential should be scoped to a valid region, not 'eu-central-1'. "})",
                ErrorCode::invalid_argument, "'eu-central-1'.; is the region (AWS_REGION) that of the endpoint?"},
        Refusal{403, "SignatureDoesNotMatchException", R"({"message":"The signature does not match."})",
                ErrorCode::unauthenticated, "are both parts of the access key right?"},
        Refusal{403, "AccessDeniedException", R"({"Message":"User: x is not authorized"})", ErrorCode::unauthenticated,
                "not authorized"}),
    [](const auto& tested) { return "Status" + std::to_string(tested.param.status) + tested.param.type; });

class LambdaFunctionFails : public ::testing::TestWithParam<Refusal> {};

TEST_P(LambdaFunctionFails, WithAnErrorThatSaysWhatToDo) {
  LambdaStandIn aws([&](const auto& request) -> std::optional<ScriptedServer::Response> {
    if (request["x-amz-invocation-type"] == "DryRun") return std::nullopt;
    auto response = ScriptedServer::reply(200, GetParam().body);
    if (!GetParam().type.empty()) response.set("X-Amz-Function-Error", GetParam().type);
    return response;
  });
  const auto connection = make_lambda_transport({aws.options(), ""})->connect("lambda://tail", {});
  std::string words;
  EXPECT_EQ(thrown_code([&] { call_and_wait(*connection, request_with({})); }, &words), GetParam().code) << words;
  EXPECT_THAT(words, HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Errors, LambdaFunctionFails,
    ::testing::Values(
        Refusal{200, "Unhandled", R"({"errorMessage":"2026-11-28T00:00:00Z id Task timed out after 3.00 seconds"})",
                ErrorCode::unavailable, "timed out"},
        Refusal{200, "Unhandled", R"({"errorType":"Runtime.ExitError","errorMessage":"exit status 1"})",
                ErrorCode::unavailable, "exit status 1"},
        Refusal{200, "Unhandled", R"({"errorType":"Runtime.corrupt","errorMessage":"can't load"})",
                ErrorCode::unavailable, "can't load"},
        Refusal{200, "Unhandled", R"({"errorType":"Function.ResponseSizeTooLarge","errorMessage":"big"})",
                ErrorCode::too_large, "big"},
        Refusal{200, "Unhandled", R"({"errorType":"ValueError","errorMessage":"what?"})", ErrorCode::internal, "what?"},
        Refusal{200, "Unhandled", "not JSON", ErrorCode::internal, "failed"},
        Refusal{200, "Unhandled", R"({"errorType":"Splitnet.corrupt","errorMessage":"bytes"})", ErrorCode::corrupt,
                "bytes"},
        Refusal{200, "Unhandled", R"({"errorType":"Splitnet.overloaded","errorMessage":"full"})", ErrorCode::overloaded,
                "full"},
        Refusal{200, "Unhandled", R"({"errorType":"Splitnet.cancelled","errorMessage":"x"})", ErrorCode::cancelled,
                "x"},
        Refusal{200, "Unhandled", R"({"errorType":"Splitnet.unknown","errorMessage":"x"})", ErrorCode::internal, "x"},
        Refusal{200, "", R"("hello")", ErrorCode::corrupt, "is the function a splitnet worker?"},
        Refusal{200, "", R"({"splitnet":"AAAA"})", ErrorCode::corrupt, "no message"},
        Refusal{200, "", R"({"splitnet":"!!!!"})", ErrorCode::corrupt, "base64"},
        Refusal{200, "", R"({"splitnet_at":"s3://somewhere/else"})", ErrorCode::too_large, "somewhere/else"}));

// The clock of this machine is right, so it is the service's that is two hours ahead: what is signed with ours is too
// old for it.
TEST(LambdaClock, IsCorrectedByTheServicesOwn) {
  std::vector<std::string> dates;
  std::mutex mutex;
  LambdaStandIn aws([&](const auto& request) -> std::optional<ScriptedServer::Response> {
    const std::lock_guard lock(mutex);
    dates.emplace_back(request["x-amz-date"]);
    const std::time_t theirs = std::time(nullptr) + 7200;
    std::tm parts{};
    gmtime_r(&theirs, &parts);
    char hour[32];
    std::strftime(hour, sizeof hour, "%Y%m%dT%H", &parts);
    if (dates.back().starts_with(hour)) return std::nullopt;
    auto response = response_of({403, "InvalidSignatureException", R"({"message":"Signature expired"})", {}, {}});
    char date[64];
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    response.set("Date", date);
    return response;
  });
  const auto listener = make_lambda_runtime_transport({aws.options(), ""})->listen(aws.runtime(), echo, {});
  const auto connection = make_lambda_transport({aws.options(), ""})->connect("lambda://tail", {});
  EXPECT_EQ(dates.size(), 2U) << "the second time by its clock";
  (void)call_and_wait(*connection, request_with({}));
  EXPECT_EQ(dates.size(), 3U) << "and from then on";
}

}  // namespace
}  // namespace splitnet
