// SPDX-License-Identifier: Apache-2.0
// http behind a real nginx, with its buffering and without.
#include "http_raw.hpp"
#include "nginx.hpp"
#include "splitnet/transport/http.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using testing::request_with;
using testing::start_call;

class HttpProxy : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_FALSE(testing::Nginx::program().empty()) << "nginx is missing; scripts/setup installs it";
  }
  void listen(Handler handler = echo, const ListenOptions& options = {}, const std::string& more = "") {
    listener = transport->listen("http://127.0.0.1:0", std::move(handler), options);
    nginx = std::make_unique<testing::Nginx>(listener->address().substr(7), GetParam() + more);
  }
  std::unique_ptr<Connection> connect(const std::string& token = "") const {
    ConnectOptions options;
    options.token = token;
    return transport->connect(nginx->endpoint(), options);
  }

  std::shared_ptr<Transport> transport = make_http_transport();
  std::unique_ptr<Listener> listener;
  std::unique_ptr<testing::Nginx> nginx;
};

TEST_P(HttpProxy, CarriesSmallAndLarge) {
  listen();
  const auto connection = connect();
  for (const std::int64_t bytes : {0, 1, 1000, 100'000, 10'000'000}) {
    const auto reply = call_and_wait(*connection, request_with({testing::iota_u8(bytes)}));
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), testing::iota_u8(bytes))) << nginx->log();
  }
}

TEST_P(HttpProxy, CarriesManyAtOnce) {
  listen();
  const auto connection = connect();
  std::vector<testing::Outcome> outcomes;
  for (int i = 0; i < 64; ++i) {
    outcomes.push_back(start_call(*connection, request_with({Value(i), testing::iota_u8(i * 5000)})));
  }
  for (int i = 0; i < 64; ++i) {
    const auto* reply = outcomes[static_cast<std::size_t>(i)].message();
    ASSERT_NE(reply, nullptr) << nginx->log();
    ASSERT_EQ(reply->kind, MessageKind::reply) << reply->error_message;
    EXPECT_EQ(reply->values.at(0).integer(), i);
  }
}

TEST_P(HttpProxy, PassesChunksOn) {
  listen();
  const testing::RawPeer peer(nginx->endpoint());
  auto request = testing::chunked_post(testing::good_message(7, {testing::iota_u8(300'000)}), 10'000);
  request.replace(0, 6, "POST /splitnet");
  peer.send(request);
  const auto responses = testing::read_responses(peer, 1);
  ASSERT_EQ(responses.size(), 1U);
  EXPECT_EQ(responses[0].status, 200) << nginx->log();
}

TEST_P(HttpProxy, PassesErrorsAndTokensOn) {
  ListenOptions options;
  options.token = "the-token-of-this-test";
  options.max_wrong_tokens_per_s = 1000;
  options.limits.max_message_bytes = 1'000'000;
  listen(
      [](Message request, const CallContext& context, const Responder& respond) {
        if (request.values.empty()) throw Error(ErrorCode::overloaded, "later");
        echo(std::move(request), context, respond);
      },
      options);
  const auto connection = connect(options.token);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::overloaded);
  EXPECT_EQ(start_call(*connection, request_with({Value(1)})).error(), std::nullopt);
  EXPECT_EQ(start_call(*connection, request_with({testing::iota_u8(3'000'000)})).error(), ErrorCode::too_large);
  EXPECT_EQ(start_call(*connect("not-the-token-of-this-test"), request_with({Value(1)})).error(),
            ErrorCode::unauthenticated);
  EXPECT_EQ(start_call(*connection, request_with({Value(1)})).error(), std::nullopt);
}

TEST_P(HttpProxy, TellsTheHandlerThatTheCallerGaveUp) {
  testing::Held held;
  listen(held.handler());
  const auto connection = connect();
  std::stop_source stop;
  const auto cancelled = start_call(*connection, request_with({}), {}, stop.get_token());
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  stop.request_stop();
  EXPECT_EQ(cancelled.error(), ErrorCode::cancelled);
  EXPECT_TRUE(testing::wait_until_stopped(items.at(0).context.stop));
  const auto late = start_call(*connection, request_with({}), std::chrono::steady_clock::now() + 500ms);
  ASSERT_TRUE(held.wait_for(1));
  items = held.take();
  EXPECT_TRUE(items.at(0).context.deadline);
  EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
  EXPECT_TRUE(testing::wait_until_stopped(items.at(0).context.stop));
}

TEST_P(HttpProxy, SaysThatNobodyIsBehindIt) {
  listen();
  const auto connection = connect();
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  listener->close();
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST_P(HttpProxy, HasLimitsOfItsOwn) {
  listen(echo, {}, "      client_body_timeout 60s;\n      limit_except POST { deny all; }\n");
  const auto elsewhere = transport->connect(nginx->endpoint() + "/nowhere", {});
  EXPECT_EQ(start_call(*elsewhere, request_with({})).error(), ErrorCode::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(Buffering, HttpProxy, ::testing::Values(""));
INSTANTIATE_TEST_SUITE_P(PassingOn, HttpProxy,
                         ::testing::Values("      proxy_request_buffering off;\n      proxy_buffering off;\n"));

}  // namespace
}  // namespace splitnet
