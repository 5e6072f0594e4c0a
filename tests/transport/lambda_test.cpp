// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/lambda.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
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
  EXPECT_THAT(aws.objects(), IsEmpty()) << "what was too large for an invocation is removed";
}

TEST_F(Lambda, WhatIsTooLargeLiesInTheStoreMeanwhile) {
  std::map<std::string, std::string> objects;
  listen([&](Message, const CallContext&, const Responder& respond) {
    objects = aws.objects();
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
  EXPECT_THAT(aws.objects(), IsEmpty());
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
  EXPECT_THAT(aws.objects(), IsEmpty());
}

TEST_F(Lambda, ClosingEndsCallsAndEmptiesTheStore) {
  testing::Held held;
  listen(held.handler());
  auto connection = connect();
  Outcome outcome;
  connection->call(request_with({iota_u8(5'000'000)}), {}, {}, outcome.completion());
  while (aws.objects().empty()) std::this_thread::sleep_for(1ms);
  connection.reset();
  ASSERT_TRUE(outcome.wait());
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(outcome.count(), 1);
  EXPECT_THAT(aws.objects(), IsEmpty());
}

/// The call does not wait longer than it may, nor does the end of the connection.
TEST_F(Lambda, AStoreThatHangsDoesNotHoldUpTheCall) {
  listen();
  const auto connection = connect();
  aws.store_hangs = true;
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
  aws.store_hangs = true;
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
