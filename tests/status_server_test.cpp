// SPDX-License-Identifier: Apache-2.0
#include "splitnet/status_server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "error_of.hpp"
#include "transport/raw_peer.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::RawPeer;
using ::testing::StartsWith;
using testing::thrown_code;

constexpr const char* local = "127.0.0.1:0";

/// All that is said to these bytes, until the server closes.
std::string said_to(const StatusServer& server, const std::string& bytes) {
  const RawPeer peer(server.address());
  peer.send(bytes);
  const auto said = peer.read_to_end();
  EXPECT_TRUE(said) << "the connection stays open";
  return said.value_or("");
}
std::string get(const StatusServer& server, const std::string& path, const std::string& method = "GET") {
  return said_to(server, method + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
}

TEST(StatusServer, IsAliveWhetherReadyOrNot) {
  std::atomic<bool> ready = false;
  const auto server = StatusServer::start(
      local, {.ready = [&] { return ready ? std::nullopt : std::optional<std::string>("loading"); }});
  EXPECT_THAT(server->address(), StartsWith("http://127.0.0.1:"));
  EXPECT_THAT(get(*server, "/livez"), StartsWith("HTTP/1.1 200 "));
  const auto unready = get(*server, "/readyz");
  EXPECT_THAT(unready, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(unready, HasSubstr("\r\n\r\nloading\n"));
  ready = true;
  EXPECT_THAT(get(*server, "/readyz?verbose"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(get(*server, "http://localhost/readyz"), StartsWith("HTTP/1.1 200 "));
}

TEST(StatusServer, ShowsMetricsWhenItHasThem) {
  const auto without = StatusServer::start(local, {});
  EXPECT_THAT(get(*without, "/metrics"), StartsWith("HTTP/1.1 404 "));
  const auto server = StatusServer::start(local, {.metrics = [] { return std::string(300'000, 'm'); }});
  const auto said = get(*server, "/metrics");
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(said, HasSubstr("Content-Type: text/plain; version=0.0.4"));
  EXPECT_THAT(said, HasSubstr("Content-Length: 300000\r\n"));
  EXPECT_EQ(said.size(), said.find("\r\n\r\n") + 4 + 300'000);
  const auto head = get(*server, "/metrics", "HEAD");
  EXPECT_THAT(head, HasSubstr("Content-Length: 300000\r\n"));
  EXPECT_EQ(head.size(), head.find("\r\n\r\n") + 4);
}

TEST(StatusServer, RefusesWhatItDoesNotKnow) {
  const auto server = StatusServer::start(local, {.metrics = []() -> std::string { throw std::runtime_error("no"); }});
  EXPECT_THAT(get(*server, "/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get(*server, "/livez/.."), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get(*server, "/metrics"), StartsWith("HTTP/1.1 500 "));
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const auto said = get(*server, "/livez", method);
    EXPECT_THAT(said, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(said, HasSubstr("\r\nAllow: GET, HEAD\r\n")) << method;
  }
  EXPECT_THAT(
      said_to(*server, "POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + std::string(200'000, 'x')),
      StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(said_to(*server, "GET /livez HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
}

TEST(StatusServer, LivesOnAfterBadClients) {
  const auto server = StatusServer::start(local, {}, {.timeout = 60s});
  EXPECT_THAT(said_to(*server, std::string(1000, '\xaa')), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(said_to(*server, "GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x')), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(said_to(*server, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nand what nobody asked for"),
              StartsWith("HTTP/1.1 200 "));
}

TEST(StatusServer, DropsWhoDoesNotGoOn) {
  const auto server = StatusServer::start(local, {}, {.timeout = 100ms});
  EXPECT_EQ(said_to(*server, "GET /livez HTTP/1.1\r\nHos"), "");
  EXPECT_EQ(said_to(*server, ""), "");
}

TEST(StatusServer, HoldsOnlySoManyConnections) {
  const auto server = StatusServer::start(local, {}, {.max_connections = 2, .timeout = 60s});
  const RawPeer first(server->address());
  const RawPeer second(server->address());
  // Connections are accepted in order, so both are held by now.
  EXPECT_THAT(get(*server, "/livez"), StartsWith("HTTP/1.1 503 "));
  first.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(first.read_to_end().value_or(""), StartsWith("HTTP/1.1 200 "));
}

TEST(StatusServer, AnswersManyAtOnceAndCloses) {
  std::atomic<int> made = 0;
  auto server =
      StatusServer::start(local, {.metrics = [&] { return std::to_string(++made); }}, {.max_connections = 64});
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      for (int k = 0; k < 10; ++k) EXPECT_THAT(get(*server, "/metrics"), StartsWith("HTTP/1.1 200 "));
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(made, 40);
  const RawPeer open(server->address());
  server->close();
  EXPECT_EQ(open.read_to_end(), "");
  server->close();
}

TEST(StatusServer, IsForThisMachineUnlessToldOtherwise) {
  EXPECT_EQ(thrown_code([] { (void)StatusServer::start("0.0.0.0:0", {}); }), ErrorCode::invalid_argument);
  EXPECT_NE(StatusServer::start("0.0.0.0:0", {}, {.allow_remote = true}), nullptr);
  for (const char* bad : {"", "9090", "127.0.0.1", "127.0.0.1:x", "https://127.0.0.1:0", "http://127.0.0.1:0/status"}) {
    EXPECT_EQ(thrown_code([&] { (void)StatusServer::start(bad, {}); }), ErrorCode::invalid_argument) << bad;
  }
  const auto server = StatusServer::start(local, {});
  EXPECT_EQ(thrown_code([&] { (void)StatusServer::start(server->address(), {}); }), ErrorCode::unavailable);
}

}  // namespace
}  // namespace splitnet
