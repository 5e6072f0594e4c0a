// SPDX-License-Identifier: Apache-2.0
// What a listener's log says about those whom it turns away.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "error_of.hpp"
#include "roads.hpp"
#include "splitnet/worker.hpp"
#include "transport/refusal_log.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::thrown_code;

/// Keeps what is logged. Thread-safe.
class Log {
 public:
  struct Record {
    LogLevel level;
    std::string message;
    std::string peer;
    std::string code;
    std::uint64_t left_out = 0;
  };
  LogSink sink() {
    return [this](const LogRecord& record) {
      Record kept{record.level, std::string(record.message), {}, {}};
      for (const auto& [key, value] : record.fields) {
        if (key == "peer") kept.peer = std::get<std::string>(value);
        if (key == "code") kept.code = std::get<std::string>(value);
        if (key == "left_out") kept.left_out = std::get<std::uint64_t>(value);
      }
      const std::lock_guard lock(mutex_);
      records_.push_back(kept);
    };
  }
  std::vector<Record> records() const {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  Record wait_for_one() const {
    while (records().empty()) std::this_thread::sleep_for(1ms);
    return records().front();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Record> records_;
};

constexpr const char* right_token = "the-token-of-this-test";

ListenOptions guarded() {
  ListenOptions options;
  options.token = right_token;
  return options;
}

/// Over every road on which strangers come.
class Refusal : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Listener> listen(ListenOptions options) {
    options.log = log_.sink();
    return registry_.listen(
        GetParam(),
        [](const Message&, const CallContext&, const Responder& respond) {
          Message reply;
          reply.kind = MessageKind::reply;
          respond(std::move(reply));
        },
        options);
  }
  /// Of a call on a connection that is kept; nothing: it was answered.
  std::optional<ErrorCode> outcome(const std::string& address, const std::string& token = {}) {
    ConnectOptions options;
    options.token = token;
    options.reconnect.enabled = false;
    const auto error = testing::error_of([&] {
      held_.push_back(registry_.connect(address, options));
      (void)call_and_wait(*held_.back(), {});
    });
    return error ? std::optional(error->code()) : std::nullopt;
  }

  const TransportRegistry registry_ = testing::all_transports();
  Log log_;
  std::vector<std::unique_ptr<Connection>> held_;
};

TEST_P(Refusal, SaysWhoHasNotTheRightToken) {
  const auto listener = listen(guarded());
  EXPECT_EQ(outcome(listener->address(), right_token), std::nullopt);
  EXPECT_TRUE(log_.records().empty());
  EXPECT_EQ(outcome(listener->address(), "another-token-than-that"), ErrorCode::unauthenticated);
  const auto record = log_.wait_for_one();
  EXPECT_EQ(record.level, LogLevel::warning);
  EXPECT_EQ(record.code, "unauthenticated");
  EXPECT_NE(record.message.find("token"), std::string::npos) << record.message;
  EXPECT_EQ(record.message.find("another-token"), std::string::npos) << "it may be one for something else";
  EXPECT_FALSE(record.peer.empty());
}

TEST_P(Refusal, SaysWhoShowsNoToken) {
  const auto listener = listen(guarded());
  EXPECT_EQ(outcome(listener->address()), ErrorCode::unauthenticated);
  EXPECT_EQ(log_.wait_for_one().code, "unauthenticated");
}

TEST_P(Refusal, SaysThatAllConnectionsAreInUse) {
  ListenOptions options;
  options.max_connections = 1;
  const auto listener = listen(options);
  EXPECT_EQ(outcome(listener->address()), std::nullopt);
  EXPECT_NE(outcome(listener->address()), std::nullopt);
  const auto record = log_.wait_for_one();
  EXPECT_EQ(record.code, "overloaded");
  EXPECT_NE(record.message.find("in use"), std::string::npos) << record.message;
}

TEST_P(Refusal, SaysWhoAsksTooOften) {
  ListenOptions options;
  options.max_requests_per_s = 1e-3;
  const auto listener = listen(options);
  EXPECT_EQ(outcome(listener->address()), std::nullopt);
  EXPECT_EQ(thrown_code([&] { (void)call_and_wait(*held_.back(), {}); }), ErrorCode::overloaded);
  const auto record = log_.wait_for_one();
  EXPECT_EQ(record.code, "overloaded");
  EXPECT_FALSE(record.peer.empty());
}

std::vector<std::string> roads() {
  auto endpoints = testing::all_endpoints("refusal");
  std::erase_if(endpoints, [](const std::string& endpoint) { return endpoint.starts_with("inproc"); });
  return endpoints;
}

INSTANTIATE_TEST_SUITE_P(Roads, Refusal, ::testing::ValuesIn(roads()));

#ifdef SPLITNET_WITH_TLS
TEST(RefusalByTls, SaysWhoDoesNotSpeakIt) {
  for (const char* endpoint : {"tls://127.0.0.1:0", "https://127.0.0.1:0"}) {
    const auto registry = testing::all_transports();
    const auto schemes = registry.schemes();
    if (std::find(schemes.begin(), schemes.end(), testing::scheme_of(endpoint)) == schemes.end()) continue;
    Log log;
    ListenOptions options;
    options.log = log.sink();
    const auto listener = registry.listen(endpoint, {}, options);
    const std::string address = listener->address();
    const testing::RawPeer peer("tcp" + address.substr(address.find("://")));
    peer.send("GET / HTTP/1.1\r\n\r\n");
    const auto record = log.wait_for_one();
    EXPECT_EQ(record.code, "incompatible") << record.message;
    EXPECT_FALSE(record.peer.empty());
  }
}
#endif

TEST(RefusalLog, SaysOneASecondAndCountsTheOthers) {
  Log log;
  detail::RefusalLog refusals(log.sink());
  const Error why(ErrorCode::overloaded, "no room");
  const auto now = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) refusals.note("somebody", why, now);
  ASSERT_EQ(log.records().size(), 1U);
  EXPECT_EQ(log.records().front().left_out, 0U);
  refusals.note("another", why, now + 2s);
  ASSERT_EQ(log.records().size(), 2U);
  EXPECT_EQ(log.records().back().peer, "another");
  EXPECT_EQ(log.records().back().left_out, 4U);
}

TEST(RefusalLog, IsTheWorkersUnlessTheListenerHasItsOwn) {
  Log log;
  const auto worker = Worker::create({.log = log.sink()});
  const TransportRegistry registry = testing::all_transports();
  const auto address = worker->serve(registry, "tcp://127.0.0.1:0", guarded());
  EXPECT_EQ(thrown_code([&] { (void)call_and_wait(*registry.connect(address), {}); }), ErrorCode::unauthenticated);
  EXPECT_EQ(log.wait_for_one().code, "unauthenticated");
}

}  // namespace
}  // namespace splitnet
