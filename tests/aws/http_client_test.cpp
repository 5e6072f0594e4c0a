// SPDX-License-Identifier: Apache-2.0
#include "aws/http_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <limits>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "error_of.hpp"
#include "scripted_server.hpp"

namespace splitnet::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
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

TEST(HttpClient, RefusesHeadersThatWouldBeginOthers) {
  ScriptedServer server(&echo);
  HttpClient client;
  for (const std::string& value : {std::string("a\r\nx-evil: b"), std::string("a\nb"), std::string("a\0b", 3)}) {
    EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, "\"x-word\" has an end of line", [&] {
      client.send_and_wait({.url = server.url(), .headers = {{"x-word", value}}}, soon());
    }));
  }
  EXPECT_EQ(thrown_code([&] {
              client.send_and_wait({.url = server.url(), .headers = {{"x-word\r\nx-evil", "b"}}}, soon());
            }),
            ErrorCode::invalid_argument);
}

/// As if there were no memory for what the completion does with its result.
TEST(HttpClient, ACompletionThatThrowsIsToldSo) {
  ScriptedServer server(&echo);
  HttpClient client;
  std::promise<HttpClient::Result> told;
  bool is_second = false;
  client.send({.url = server.url()}, soon(), {}, [&](HttpClient::Result result) {
    if (!std::exchange(is_second, true)) throw std::bad_alloc();
    told.set_value(std::move(result));
  });
  EXPECT_EQ(std::get<Error>(told.get_future().get()).code(), ErrorCode::overloaded);
  std::promise<void> thrown_twice;
  is_second = false;
  client.send({.url = server.url()}, soon(), {}, [&](const HttpClient::Result&) {
    if (std::exchange(is_second, true)) thrown_twice.set_value();
    throw std::bad_alloc();
  });
  thrown_twice.get_future().get();
  EXPECT_EQ(client.send_and_wait({.url = server.url()}, soon()).status, 200) << "and the client goes on";
}

/// A server on the loopback that says the same to everybody, whatever it is asked.
class SaysOneThing {
 public:
  explicit SaysOneThing(const std::string& text) : acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}) {
    thread_ = std::thread([this, text] {
      boost::system::error_code failed;
      boost::asio::ip::tcp::socket socket(io_);
      acceptor_.accept(socket, failed);
      std::string request(64 * 1024, '\0');
      if (!failed) socket.read_some(boost::asio::buffer(request), failed);
      if (!failed) boost::asio::write(socket, boost::asio::buffer(text), failed);
      while (!failed) socket.read_some(boost::asio::buffer(request), failed);  // Until the client goes.
    });
  }
  ~SaysOneThing() {
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
  }
  SaysOneThing(const SaysOneThing&) = delete;
  SaysOneThing& operator=(const SaysOneThing&) = delete;
  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::thread thread_;
};

TEST(HttpClient, AReplyThatMemoryIsNotThereForIsOverloaded) {
  SaysOneThing server("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(std::numeric_limits<std::int64_t>::max()) +
                      "\r\n\r\nhello");
  HttpClient client;
  constexpr std::size_t any = std::numeric_limits<std::size_t>::max() / 2;
  EXPECT_TRUE(testing::throws(ErrorCode::overloaded, "no memory",
                              [&] { client.send_and_wait({.url = server.url(), .max_reply_bytes = any}, soon()); }));
}

TEST(HttpClient, FindsOutAPeerThatStandsStill) {
  SaysOneThing server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  HttpClient client;
  EXPECT_TRUE(testing::throws(ErrorCode::unavailable, "too slow", [&] {
    client.send_and_wait({.url = server.url(), .body = body_of("body"), .stall_timeout = 1s}, {});
  }));
}

TEST(HttpClient, APeerMayThinkForLongerWhereNothingElseIsSaid) {
  ScriptedServer server([](const auto&) {
    std::this_thread::sleep_for(2500ms);
    return ScriptedServer::reply(200, "thought");
  });
  HttpClient client({.dead_peer_timeout = 1s});
  EXPECT_EQ(client.send_and_wait({.url = server.url()}, soon()).body, "thought");
}

/// Of the socket of this process that is connected to `port`, which lies above 1024.
int option_of_socket_to(unsigned port, int level, int option) {
  for (int descriptor = 3; descriptor < 1024; ++descriptor) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET || ntohs(peer.sin_port) != port) continue;
    int value = -1;
    size = sizeof value;
    return ::getsockopt(descriptor, level, option, &value, &size) == 0 ? value : -1;
  }
  return -1;
}

TEST(HttpClient, AsksForSignsOfLifeOnItsConnections) {
  ScriptedServer server(&echo);
  const auto port = static_cast<unsigned>(std::stoul(server.url().substr(server.url().rfind(':') + 1)));
  HttpClient client({.dead_peer_timeout = 12s});
  client.send_and_wait({.url = server.url()}, soon());
  EXPECT_EQ(option_of_socket_to(port, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option_of_socket_to(port, IPPROTO_TCP, TCP_KEEPIDLE), 6);
  EXPECT_EQ(option_of_socket_to(port, IPPROTO_TCP, TCP_KEEPINTVL), 2);
  EXPECT_EQ(option_of_socket_to(port, IPPROTO_TCP, TCP_USER_TIMEOUT), 12'000);
}

TEST(HttpClient, AsksProxiesOfTheEnvironmentOnlyWhereItMay) {
  ScriptedServer server(&echo);
  ScriptedServer proxy(
      [](const auto& request) { return ScriptedServer::reply(200, "by the proxy " + std::string(request.target())); });
  ASSERT_EQ(::setenv("http_proxy", proxy.url().c_str(), 1), 0);
  {
    HttpClient client;
    EXPECT_EQ(client.send_and_wait({.url = server.url() + "/x"}, soon()).body, "by the proxy " + server.url() + "/x");
    HttpClient direct({.uses_proxies = false});
    EXPECT_EQ(direct.send_and_wait({.url = server.url() + "/x"}, soon()).body, "POST /x ");
  }
  ASSERT_EQ(::unsetenv("http_proxy"), 0);
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
