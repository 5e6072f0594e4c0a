// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/lambda_runtime.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <new>
#include <thread>

#include "aws/base64.hpp"
#include "aws/invocation.hpp"
#include "aws/json.hpp"
#include "aws/lambda_stand_in.hpp"
#include "error_of.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/testing/transport_tools.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using detail::JsonObject;
using testing::echo;
using ::testing::HasSubstr;
using testing::iota_u8;
using testing::LambdaStandIn;
using testing::reply_with;
using testing::request_with;
using testing::ScriptedServer;

const std::string kToken = "a-token-of-the-worker";

std::shared_ptr<detail::BufferPool> pool() {
  static const auto one = std::make_shared<detail::BufferPool>(1 << 20);
  return one;
}

std::string base64_of(const Message& message) {
  const auto encoded = encode(message);
  std::string text(detail::base64_size(encoded.size_bytes), '\0');
  detail::write_base64(text.data(), encoded);
  return text;
}

std::string event_of(Message request, std::uint64_t id = 7) {
  request.id = id;
  return detail::invocation_of(encode(request));
}

/// Of an answer to event_of.
Message answer_in(const std::string& document) {
  return detail::decode_whole(std::get<Storage>(detail::read_invocation(document, *pool())), {});
}

/// As API Gateway writes them, in either version. `context`: of the request, with a comma behind it.
std::string proxy_event(int version, const std::string& method, const std::string& authorization,
                        const std::string& body, bool is_base64 = true, const std::string& context = "") {
  const std::string base64 = is_base64 ? "true" : "false";
  const std::string field = authorization.empty() ? "" : R"("authorization":")" + authorization + R"(",)";
  if (version == 2) {
    return R"({"version":"2.0","routeKey":"$default","rawPath":"/","headers":{)" + field +
           R"("content-type":"application/octet-stream"},"requestContext":{)" + context + R"("http":{"method":")" +
           method + R"(","path":"/","sourceIp":"203.0.113.7"}},"body":")" + body + R"(","isBase64Encoded":)" + base64 +
           "}";
  }
  return R"({"resource":"/","path":"/","httpMethod":")" + method + R"(","headers":{)" +
         (authorization.empty() ? "" : R"("Authorization":")" + authorization + R"(",)") +
         R"("Host":"x"},"requestContext":{"identity":{)" + context + R"("sourceIp":"203.0.113.7"}},"body":")" + body +
         R"(","isBase64Encoded":)" + base64 + "}";
}

ListenOptions with_token() {
  ListenOptions options;
  options.token = kToken;
  return options;
}

class LambdaRuntime : public ::testing::Test {
 protected:
  void listen(Handler handler = echo, const ListenOptions& options = {}) {
    listener = make_lambda_runtime_transport({aws.options(), ""})->listen(aws.runtime(), std::move(handler), options);
  }
  void listen_with_store(Handler handler = echo) {
    listener = make_lambda_runtime_transport({aws.options(), "s3://bodies/some/prefix"})
                   ->listen(aws.runtime(), std::move(handler), {});
  }
  LambdaStandIn aws;
  std::unique_ptr<Listener> listener;
};

TEST_F(LambdaRuntime, SaysWhereItIs) {
  listen();
  EXPECT_EQ(listener->address(), aws.runtime());
}

TEST_F(LambdaRuntime, TakesTheAddressFromTheEnvironment) {
  const auto transport = make_lambda_runtime_transport({aws.options(), ""});
  ASSERT_EQ(unsetenv("AWS_LAMBDA_RUNTIME_API"), 0);
  EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "AWS_LAMBDA_RUNTIME_API is not set",
                              [&] { (void)transport->listen("lambda-runtime://", echo, {}); }));
  ASSERT_EQ(setenv("AWS_LAMBDA_RUNTIME_API", aws.runtime().substr(17).c_str(), 1), 0);
  const auto there = transport->listen("lambda-runtime://", echo, {});
  ASSERT_EQ(unsetenv("AWS_LAMBDA_RUNTIME_API"), 0);
  EXPECT_EQ(there->address(), aws.runtime());
  EXPECT_EQ(answer_in(aws.invoke(event_of(request_with({true})))).values.size(), 1U);
}

TEST_F(LambdaRuntime, EndpointsThatAreNone) {
  const auto transport = make_lambda_runtime_transport({aws.options(), ""});
  for (const char* endpoint : {"lambda-runtime:", "lambda-runtime://host", "lambda-runtime://host:port"}) {
    EXPECT_TRUE(
        testing::throws(ErrorCode::invalid_argument, endpoint, [&] { (void)transport->listen(endpoint, echo, {}); }));
  }
  EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "lambda://NAME",
                              [&] { (void)transport->connect("lambda-runtime://", {}); }));
}

TEST_F(LambdaRuntime, AnswersProxyEventsOfBothVersions) {
  listen(echo, with_token());
  auto request = request_with({iota_u8(100)});
  request.id = 9;
  for (const int version : {1, 2}) {
    const JsonObject answer(aws.invoke(proxy_event(version, "POST", "Bearer " + kToken, base64_of(request))));
    ASSERT_TRUE(answer.text("body")) << version;
    EXPECT_TRUE(answer.is_true("isBase64Encoded"));
    EXPECT_EQ(answer.text("headers/content-type"), "application/octet-stream");
    const auto reply = detail::decode_whole(*detail::decode_base64(*answer.text("body"), *pool()), {});
    EXPECT_EQ(reply.kind, MessageKind::reply);
    EXPECT_EQ(reply.id, 9U);
    EXPECT_TRUE(bit_identical(reply.values.at(0), request.values[0]));
  }
}

std::string event_in(int version, const std::string& context) {
  return proxy_event(version, "POST", "AWS4-HMAC-SHA256 Credential=x", base64_of(request_with({true})), true, context);
}

TEST_F(LambdaRuntime, WhoeverIamHasLetInNeedsNoToken) {
  for (const bool has_token : {true, false}) {
    listen(echo, has_token ? with_token() : ListenOptions());
    EXPECT_THAT(aws.invoke(event_in(2, R"("authorizer":{"iam":{"accessKey":"AKID","userId":"x"}},)")),
                HasSubstr(R"("statusCode":200)"));
    EXPECT_THAT(aws.invoke(event_in(1, R"("accessKey":"AKID",)")), HasSubstr(R"("statusCode":200)"));
    listener.reset();
  }
}

TEST_F(LambdaRuntime, WithoutATokenNobodyElseIsLetInOverHttp) {
  int handled = 0;
  const Handler count = [&](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  };
  listen(count);
  for (const auto& event :
       {event_in(1, ""), event_in(2, ""), event_in(1, R"("accessKey":null,)"), event_in(1, R"("apiKey":"key",)"),
        event_in(2, R"("authorizer":{"iam":null},)"), event_in(2, R"("authorizer":{"jwt":{"claims":{}}},)"),
        event_in(2, R"("authorizer":{"iam":{"accessKey":""}},)"), event_in(2, R"("authorizer":null,)")}) {
    const std::string document = aws.invoke(event);
    EXPECT_THAT(document, HasSubstr(R"("statusCode":401)")) << event;
    const JsonObject answer(document);
    const auto reply = detail::decode_whole(*detail::decode_base64(answer.text("body").value(), *pool()), {});
    EXPECT_EQ(reply.error, ErrorCode::unauthenticated);
    EXPECT_THAT(reply.error_message, HasSubstr("SPLITNET_TOKEN"));
  }
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(answer_in(aws.invoke(event_of(request_with({true})))).values.size(), 1U) << "an invocation is IAM's matter";
  EXPECT_EQ(handled, 1);
  listener.reset();
  ListenOptions everybody;
  everybody.allow_remote = true;
  listen(count, everybody);
  for (const int version : {1, 2}) EXPECT_THAT(aws.invoke(event_in(version, "")), HasSubstr(R"("statusCode":200)"));
}

TEST_F(LambdaRuntime, ProxyEventsThatAreRefusedHaveAStatusAndAMessage) {
  int handled = 0;
  listen(
      [&](Message request, const CallContext& context, const Responder& respond) {
        ++handled;
        echo(std::move(request), context, respond);
      },
      with_token());
  const std::string body = base64_of(request_with({true}));
  const std::string right = "Bearer " + kToken;
  struct Case {
    std::string event;
    std::string status;
    ErrorCode code;
  };
  for (const auto& [event, status, code] : std::vector<Case>{
           {proxy_event(2, "POST", "", body), "401", ErrorCode::unauthenticated},
           {proxy_event(2, "POST", "Bearer not the token", body), "401", ErrorCode::unauthenticated},
           {proxy_event(2, "POST", kToken, body), "401", ErrorCode::unauthenticated},
           {proxy_event(2, "GET", right, ""), "400", ErrorCode::invalid_argument},
           {proxy_event(2, "POST", right, ""), "400", ErrorCode::corrupt},
           {proxy_event(2, "POST", right, "hello", false), "400", ErrorCode::corrupt},
           {proxy_event(2, "POST", right, base64_of(request_with({true})).substr(0, 40)), "400", ErrorCode::corrupt},
       }) {
    const std::string document = aws.invoke(event);
    EXPECT_THAT(document, HasSubstr(R"("statusCode":)" + status)) << event;
    const JsonObject answer(document);
    ASSERT_TRUE(answer.text("body"));
    EXPECT_EQ(detail::decode_whole(*detail::decode_base64(*answer.text("body"), *pool()), {}).error, code) << event;
  }
  EXPECT_EQ(handled, 0);
}

TEST_F(LambdaRuntime, OtherEventsAreErrorsOfTheFunction) {
  listen();
  for (const std::string event : {"", "null", "[]", "{}", R"("text")", R"({"Records":[{"s3":{}}]})", "not JSON",
                                  R"({"splitnet":7})", R"({"splitnet":"A"})", R"({"splitnet":"AA==AA=="})"}) {
    const JsonObject answer(aws.invoke(event));
    EXPECT_EQ(answer.text("errorType"), "Splitnet.corrupt") << event;
    EXPECT_TRUE(answer.text("errorMessage").has_value()) << event;
  }
  EXPECT_EQ(answer_in(aws.invoke(event_of(request_with({true})))).values.size(), 1U) << "and it goes on";
}

TEST_F(LambdaRuntime, JsonMayBeWrittenInOtherWays) {
  listen();
  std::string event = event_of(request_with({iota_u8(50)}));
  event = "{ \"other\": [1, 2],\n \"splitnet\" : " + event.substr(event.find(':') + 1);
  EXPECT_EQ(answer_in(aws.invoke(event)).values.size(), 1U);
}

TEST_F(LambdaRuntime, AReplayedRequestIsAnsweredAgain) {
  listen();
  const std::string event = event_of(request_with({iota_u8(50)}));
  (void)aws.invoke(event);  // Which says how long the start took.
  const std::string first = aws.invoke(event);
  EXPECT_EQ(aws.invoke(event), first);
}

// The answer that comes too late must not be taken for the one to the next request, whose id may be the same.
TEST_F(LambdaRuntime, EndsInTimeAndDropsTheLateAnswer) {
  testing::Held held;
  listen(held.handler());
  aws.time_limit = 400ms;
  const auto start = std::chrono::steady_clock::now();
  const auto answer = answer_in(aws.invoke(event_of(request_with({}))));
  EXPECT_EQ(answer.error, ErrorCode::deadline_exceeded);
  EXPECT_EQ(answer.id, 7U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  ASSERT_TRUE(held.wait_for(1));
  const auto late = held.take();
  EXPECT_TRUE(testing::wait_until_stopped(late.at(0).context.stop));
  EXPECT_LT(*late.at(0).context.deadline, start + 400ms) << "earlier than Lambda's, for the answer to get out";

  aws.time_limit = 20s;
  std::string document;
  std::thread next([&] { document = aws.invoke(event_of(request_with({}))); });
  EXPECT_TRUE(held.wait_for(1));
  late.at(0).respond(reply_with({std::string("late")}));
  held.take().at(0).respond(reply_with({std::string("in time")}));
  next.join();
  EXPECT_EQ(answer_in(document).values.at(0).string(), "in time");
}

TEST_F(LambdaRuntime, TheEarlierDeadlineHolds) {
  testing::Held held;
  listen(held.handler());
  auto request = request_with({});
  request.time_left = 5s;
  std::thread caller([&] { (void)aws.invoke(event_of(request)); });
  EXPECT_TRUE(held.wait_for(1));
  auto items = held.take();
  EXPECT_LT(*items.at(0).context.deadline, std::chrono::steady_clock::now() + 6s);
  items.at(0).respond(reply_with({}));
  caller.join();
}

TEST_F(LambdaRuntime, TakesTheTraceOfAws) {
  std::string traceparent;
  listen([&](Message request, const CallContext& context, const Responder& respond) {
    traceparent = request.trace.traceparent;
    echo(std::move(request), context, respond);
  });
  aws.trace_id = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:0";
  (void)aws.invoke(event_of(request_with({})));
  EXPECT_EQ(traceparent, "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01");
  auto request = request_with({});
  request.trace.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  (void)aws.invoke(event_of(request));
  EXPECT_EQ(traceparent, request.trace.traceparent) << "a trace of its own is kept";
}

const std::string kKey = "0123456789abcdef0123456789abcdef";

TEST_F(LambdaRuntime, ReferencesElsewhereAreNotFollowed) {
  listen();
  for (const std::string& url : {"s3://bodies/requests/" + kKey, std::string("file:///etc/passwd")}) {
    const auto answer = answer_in(aws.invoke(detail::invocation_at(url)));
    EXPECT_EQ(answer.error, ErrorCode::invalid_argument) << url;
    EXPECT_THAT(answer.error_message, HasSubstr("in the store of this worker (none)"));
  }
}

TEST_F(LambdaRuntime, OnlyRequestsOfItsStoreAreFollowed) {
  listen_with_store();
  const std::string prefix = "s3://bodies/some/prefix/";
  for (const std::string& url :
       {prefix + "requests/" + kKey.substr(1), prefix + "requests/" + kKey + "0", prefix + "replies/" + kKey,
        prefix + "requests/" + kKey.substr(1) + "G", prefix + "requests/../" + kKey, prefix + kKey, prefix + "secret",
        prefix + "requests/", "s3://bodies/some/requests/" + kKey, "s3://other/some/prefix/requests/" + kKey,
        "http://127.0.0.1/some/prefix/requests/" + kKey, std::string()}) {
    const auto answer = answer_in(aws.invoke(detail::invocation_at(url)));
    EXPECT_EQ(answer.error, ErrorCode::invalid_argument) << url;
    EXPECT_THAT(answer.error_message, HasSubstr("no request in the store of this worker (s3://bodies/some/prefix/)"));
  }
  auto request = request_with({true});
  request.id = 3;
  const auto store = ObjectStore::open("s3://bodies/some/prefix", aws.options());
  store->put("requests/" + kKey, detail::joined(encode(request)));
  EXPECT_EQ(answer_in(aws.invoke(detail::invocation_at(prefix + "requests/" + kKey))).values.size(), 1U);
}

TEST_F(LambdaRuntime, AStoreThatHangsEndsInTime) {
  listen_with_store(
      [](Message, const CallContext&, const Responder& respond) { respond(reply_with({iota_u8(5'000'000)})); });
  aws.store.hangs = true;
  aws.time_limit = 3s;
  const auto reply = answer_in(aws.invoke(event_of(request_with({}))));
  EXPECT_EQ(reply.error, ErrorCode::deadline_exceeded);
  EXPECT_THAT(reply.error_message, HasSubstr("the reply did not get into the store"));
  EXPECT_EQ(reply.id, 7U);
  const auto url = "s3://bodies/some/prefix/requests/" + kKey;
  EXPECT_EQ(answer_in(aws.invoke(detail::invocation_at(url))).error, ErrorCode::deadline_exceeded);
}

TEST_F(LambdaRuntime, ClosingDoesNotWaitForAStoreThatHangs) {
  std::promise<void> handled;
  listen_with_store([&](Message, const CallContext&, const Responder& respond) {
    respond(reply_with({iota_u8(5'000'000)}));
    handled.set_value();
  });
  aws.store.hangs = true;
  aws.time_limit = 15min;
  std::thread caller([&] { (void)aws.invoke(event_of(request_with({}))); });
  handled.get_future().get();
  listener.reset();
  aws.let_go();
  caller.join();
}

TEST_F(LambdaRuntime, AsksNoProxyOfTheEnvironment) {
  ASSERT_EQ(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
  listen();
  EXPECT_EQ(answer_in(aws.invoke(event_of(request_with({true})))).values.size(), 1U);
  listener.reset();
  ASSERT_EQ(unsetenv("http_proxy"), 0);
}

TEST(LambdaRuntimeApi, ThatIsGoneIsLookedForUntilItIsClosed) {
  std::mutex mutex;
  std::condition_variable changed;
  int warnings = 0;
  ListenOptions options;
  options.log = [&](const LogRecord& record) {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(record.level, LogLevel::warning);
    ++warnings;
    changed.notify_all();
  };
  const auto listener = make_lambda_runtime_transport()->listen("lambda-runtime://127.0.0.1:1", echo, options);
  {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, 20s, [&] { return warnings >= 2; }));
  }
  listener->close();
}

TEST(LambdaRuntimeApi, WhatALogThrowsEndsNothing) {
  std::atomic<int> warnings = 0;
  ListenOptions options;
  options.log = [&](const LogRecord&) {
    ++warnings;
    throw std::bad_alloc();
  };
  const auto listener = make_lambda_runtime_transport()->listen("lambda-runtime://127.0.0.1:1", echo, options);
  while (warnings < 2) std::this_thread::sleep_for(1ms);
  listener->close();
}

TEST(LambdaRuntimeApi, ThatIsOverEndsTheLoop) {
  std::atomic<int> polls = 0;
  ScriptedServer server([&](const auto&) {
    ++polls;
    return ScriptedServer::reply(500, R"({"errorType":"Container"})");
  });
  std::promise<void> ended;
  const auto listener = make_lambda_runtime_transport({.on_end = [&] {
                          ended.set_value();
                        }})->listen("lambda-runtime://" + server.url().substr(7), echo, {});
  ended.get_future().get();
  listener->close();
  EXPECT_EQ(polls, 1);
}

TEST(LambdaRuntimeApi, IsToldWhyTheProcessDoesNotStart) {
  std::promise<ScriptedServer::Request> told;
  ScriptedServer server([&](const auto& request) {
    told.set_value(request);
    return ScriptedServer::reply(202, "");
  });
  report_lambda_init_error("lambda-runtime://" + server.url().substr(7), Error(ErrorCode::corrupt, "\"broken\""));
  const auto request = told.get_future().get();
  EXPECT_EQ(request.method(), boost::beast::http::verb::post);
  EXPECT_EQ(std::string(request.target()), "/2018-06-01/runtime/init/error");
  // Whoever called it turns to another worker: "Runtime." is `unavailable` there.
  EXPECT_EQ(std::string(request["Lambda-Runtime-Function-Error-Type"]), "Runtime.corrupt");
  const JsonObject document(request.body());
  EXPECT_EQ(document.text("errorMessage"), "\"broken\"");
  EXPECT_EQ(document.text("errorType"), "Runtime.corrupt");
  EXPECT_EQ(testing::thrown_code(
                [&] { report_lambda_init_error("lambda-runtime://127.0.0.1:1", Error(ErrorCode::corrupt, "broken")); }),
            ErrorCode::unavailable);
}

}  // namespace
}  // namespace splitnet
