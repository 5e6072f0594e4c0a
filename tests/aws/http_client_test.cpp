// SPDX-License-Identifier: Apache-2.0
#include "aws/http_client.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "error_of.hpp"
#include "scripted_server.hpp"

namespace splitnet::detail {
namespace {

using namespace std::chrono_literals;
using testing::ScriptedServer;
using testing::thrown_code;

Deadline soon(std::chrono::nanoseconds left = 20s) {
  return std::chrono::steady_clock::now() + left;
}

/// Says what it has heard.
ScriptedServer::Response echo(const ScriptedServer::Request& request) {
  auto response = ScriptedServer::reply(
      200, std::string(request.method_string()) + " " + std::string(request.target()) + " " + request.body());
  response.set("X-Echo", request["X-Word"]);
  return response;
}

TEST(HttpClient, SendsAndReceives) {
  ScriptedServer server(&echo);
  HttpClient client;
  const auto reply = client.send_and_wait({.method = "PUT",
                                           .url = server.url() + "/a/../b%2Fc?d=e",
                                           .headers = {{"x-word", "hello"}},
                                           .body = body_of("body")},
                                          soon());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "PUT /a/../b%2Fc?d=e body") << "the path goes as it was signed";
  EXPECT_EQ(reply.header("x-echo"), "hello");
  EXPECT_EQ(reply.header("x-other"), "");
}

TEST(HttpClient, KnowsTheMethods) {
  ScriptedServer server(&echo);
  HttpClient client;
  for (const char* method : {"GET", "POST", "DELETE"}) {
    const auto reply = client.send_and_wait({.method = method, .url = server.url() + "/x"}, soon());
    EXPECT_EQ(reply.body, std::string(method) + " /x ");
  }
}

TEST(HttpClient, CarriesLargeBodiesOfAnyBytes) {
  ScriptedServer server([](const auto& request) { return ScriptedServer::reply(200, request.body()); });
  HttpClient client;
  std::string body(6 << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761U >> 24);
  EXPECT_EQ(client.send_and_wait({.url = server.url(), .body = body_of(body)}, soon()).body, body);
}

TEST(HttpClient, RunsManyAtOnce) {
  std::atomic<int> here = 0;
  std::atomic<int> most = 0;
  ScriptedServer server([&](const auto& request) {
    most = std::max<int>(most, ++here);
    std::this_thread::sleep_for(50ms);
    --here;
    return ScriptedServer::reply(200, std::string(request.target()));
  });
  HttpClient client;
  std::vector<std::promise<HttpClient::Result>> promises(16);
  for (std::size_t i = 0; i < promises.size(); ++i) {
    client.send({.method = "GET", .url = server.url() + "/" + std::to_string(i)}, soon(), {},
                [&, i](HttpClient::Result result) { promises[i].set_value(std::move(result)); });
  }
  for (std::size_t i = 0; i < promises.size(); ++i) {
    const auto result = promises[i].get_future().get();
    ASSERT_TRUE(std::holds_alternative<HttpReply>(result)) << std::get<Error>(result).what();
    EXPECT_EQ(std::get<HttpReply>(result).body, "/" + std::to_string(i));
  }
  EXPECT_GT(most, 1);
}

TEST(HttpClient, GivesRepliesOfWhateverStatusAndFollowsNobody) {
  ScriptedServer server([](const auto&) {
    auto response = ScriptedServer::reply(307, "elsewhere");
    response.set(boost::beast::http::field::location, "http://127.0.0.1:1/");
    return response;
  });
  HttpClient client;
  const auto reply = client.send_and_wait({.url = server.url()}, soon());
  EXPECT_EQ(reply.status, 307);
  EXPECT_EQ(reply.body, "elsewhere");
}

TEST(HttpClient, EndsAtTheDeadlineAndWhenItIsCancelled) {
  std::promise<void> open;
  auto opened = open.get_future().share();
  ScriptedServer server([&](const auto&) {
    opened.wait();
    return ScriptedServer::reply(200, "late");
  });
  HttpClient client;
  EXPECT_EQ(thrown_code([&] { client.send_and_wait({.url = server.url()}, soon(100ms)); }),
            ErrorCode::deadline_exceeded);
  std::stop_source stop;
  std::promise<HttpClient::Result> ended;
  client.send({.url = server.url()}, soon(), stop.get_token(),
              [&](HttpClient::Result result) { ended.set_value(std::move(result)); });
  std::this_thread::sleep_for(50ms);
  stop.request_stop();
  EXPECT_EQ(std::get<Error>(ended.get_future().get()).code(), ErrorCode::cancelled);
  open.set_value();
}

TEST(HttpClient, SaysWhatIsWrong) {
  HttpClient client;
  std::string words;
  EXPECT_EQ(thrown_code([&] { client.send_and_wait({.url = "http://127.0.0.1:1/x?secret=1"}, soon()); }, &words),
            ErrorCode::unavailable);
  EXPECT_NE(words.find("127.0.0.1:1/x"), std::string::npos) << words;
  EXPECT_EQ(words.find("secret"), std::string::npos) << words;
  EXPECT_EQ(thrown_code([&] { client.send_and_wait({.url = "file:///etc/passwd"}, soon()); }),
            ErrorCode::invalid_argument);
  ScriptedServer server([](const auto&) { return ScriptedServer::reply(200, std::string(1001, 'x')); });
  EXPECT_EQ(thrown_code([&] { client.send_and_wait({.url = server.url(), .max_reply_bytes = 1000}, soon()); }),
            ErrorCode::too_large);
}

TEST(HttpClient, EndsWhatIsUnderWayWhenItGoes) {
  std::promise<void> open;
  auto opened = open.get_future().share();
  ScriptedServer server([&](const auto&) {
    opened.wait();
    return ScriptedServer::reply(200, "late");
  });
  std::promise<HttpClient::Result> ended;
  {
    HttpClient client;
    client.send({.url = server.url()}, {}, {}, [&](HttpClient::Result result) { ended.set_value(std::move(result)); });
  }
  EXPECT_EQ(std::get<Error>(ended.get_future().get()).code(), ErrorCode::cancelled);
  open.set_value();
}

}  // namespace
}  // namespace splitnet::detail
