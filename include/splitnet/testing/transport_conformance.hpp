// SPDX-License-Identifier: Apache-2.0
/// \file
/// What every transport must do, as GoogleTest cases. A new transport joins in one source file:
///
///     #include <splitnet/testing/transport_conformance.hpp>
///     INSTANTIATE_TEST_SUITE_P(Mine, TransportConformance,
///         testing::Values(splitnet::testing::TransportCase{make_mine, "mine://a", "mine://nobody"}));
///
/// It defines the cases, so only one source file of a test program includes it.
#pragma once

#include "splitnet/testing/transport_tools.hpp"

namespace splitnet::testing {

struct TransportCase {
  std::function<std::shared_ptr<Transport>()> make;
  std::string listen_endpoint;  ///< Free at the start of every case.
  std::string nobody;           ///< An endpoint where nobody listens.
  /// It leads to other processes: it looks at tokens, limits rates, and connects again by itself.
  bool leaves_process = true;
  /// Requests wait in a queue, which has to be there: any number may listen, come and go without a caller's notice, and
  /// don't notice that a caller has gone. What one of them could not do now waits for the next.
  bool has_queue = false;
};

}  // namespace splitnet::testing

class TransportConformance : public ::testing::TestWithParam<splitnet::testing::TransportCase> {
 protected:
  void SetUp() override { transport = GetParam().make(); }

  void listen(splitnet::Handler handler, const splitnet::ListenOptions& options = {}) {
    listener = transport->listen(GetParam().listen_endpoint, std::move(handler), options);
  }
  std::unique_ptr<splitnet::Connection> connect(const splitnet::ConnectOptions& options = {}) {
    return transport->connect(listener->address(), options);
  }

  std::shared_ptr<splitnet::Transport> transport;
  splitnet::testing::Held held;
  std::unique_ptr<splitnet::Listener> listener;
};

namespace splitnet::testing {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// ---- carrying values ---------------------------------------------------------------------------

TEST_P(TransportConformance, CarriesEveryKindOfValue) {
  listen(echo);
  const auto connection = connect();
  Tensor special = Tensor::empty(DType::f32, {3});
  const float bits[] = {std::numeric_limits<float>::quiet_NaN(), -0.0F, std::numeric_limits<float>::infinity()};
  std::memcpy(special.data(), bits, sizeof bits);
  std::vector<Value> values{None{},
                            true,
                            std::int64_t{-7},
                            2.5,
                            std::complex<double>(1, -2),
                            "text with \xc3\xbc",
                            special,
                            List{{Value(1), Value(2)}},
                            Tuple{{iota_u8(5), None{}}},
                            Dict{{{Value("key"), Value(iota_u8(3))}}}};
  const auto reply = call_and_wait(*connection, request_with(values));
  ASSERT_EQ(reply.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(bit_identical(reply.values[i], values[i]))
        << describe(values[i]) << " came as " << describe(reply.values[i]);
  }
}

/// A tensor of `bytes` bytes made of these elements, over and over.
template <class T>
Tensor repeated(DType dtype, const std::vector<T>& elements, std::size_t bytes) {
  const std::size_t count = bytes / sizeof(T);
  Tensor tensor = Tensor::empty(dtype, {static_cast<std::int64_t>(count)});
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(tensor.data() + i * sizeof(T), &elements[i % elements.size()], sizeof(T));
  }
  return tensor;
}

// Quiet and signalling NaNs with bits of their own, infinities, zeros of both signs, the smallest numbers: there and
// back, whichever way their size makes them go.
TEST_P(TransportConformance, CarriesNanAndInfinityBitByBit) {
  const std::vector<std::uint16_t> f16{0x7E01, 0xFD23, 0x7C01, 0x7C00, 0xFC00, 0x8000, 0x0001};
  const std::vector<std::uint16_t> bf16{0x7FC1, 0xFFA5, 0x7F81, 0x7F80, 0xFF80, 0x8000, 0x0001};
  const std::vector<std::uint32_t> f32{0x7FC00001, 0xFFC12345, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 1};
  const std::vector<std::uint64_t> f64{0x7FF8000000000001,
                                       0xFFF4000000000123,
                                       0x7FF0000000000001,
                                       0x7FF0000000000000,
                                       0xFFF0000000000000,
                                       0x8000000000000000,
                                       1};
  std::vector<Value> values;
  for (const std::size_t bytes : {56, 20'000, 400'000}) {
    values.emplace_back(repeated(DType::f16, f16, bytes));
    values.emplace_back(repeated(DType::bf16, bf16, bytes));
    values.emplace_back(repeated(DType::f32, f32, bytes));
    values.emplace_back(repeated(DType::f64, f64, bytes));
  }
  for (const auto bits : f64) {
    double number = 0;
    std::memcpy(&number, &bits, sizeof number);
    values.emplace_back(number);
  }
  listen([&values](Message request, const CallContext& context, const Responder& respond) {
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(request.values.at(i), values[i])) << i;
    echo(std::move(request), context, respond);
  });
  const auto connection = connect();
  const auto reply = call_and_wait(*connection, request_with(values));
  ASSERT_EQ(reply.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], values[i])) << i;
}

TEST_P(TransportConformance, CarriesTheFieldsOfRequestAndReply) {
  std::promise<Message> seen;
  listen([&seen](Message request, const CallContext&, const Responder& respond) {
    seen.set_value(request);
    Message reply = reply_with({});
    reply.times_s["tail"] = 0.25;
    respond(std::move(reply));
  });
  const auto connection = connect();
  auto request = request_with({});
  request.request.fingerprint = "abc";
  const auto reply = call_and_wait(*connection, request);
  EXPECT_EQ(seen.get_future().get().request, request.request);
  EXPECT_EQ(reply.kind, MessageKind::reply);
  EXPECT_EQ(reply.times_s, (std::map<std::string, double>{{"tail", 0.25}}));
}

TEST_P(TransportConformance, CarriesAnEmptyMessageAndEmptyTensors) {
  listen(echo);
  const auto connection = connect();
  EXPECT_TRUE(call_and_wait(*connection, request_with({})).values.empty());
  const auto reply = call_and_wait(*connection, request_with({Tensor::empty(DType::f32, {0, 3})}));
  ASSERT_EQ(reply.values.size(), 1U);
  EXPECT_EQ(reply.values[0].tensor().sizes, (std::vector<std::int64_t>{0, 3}));
}

TEST_P(TransportConformance, CarriesLargeTensorsOneAfterAnother) {
  listen(echo);
  const auto connection = connect();
  for (unsigned round = 0; round < 3; ++round) {
    const auto tensor = iota_u8(10'000'000 - static_cast<std::int64_t>(round), round);
    const auto reply = call_and_wait(*connection, request_with({tensor}));
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), tensor));
  }
}

TEST_P(TransportConformance, CarriesManyTensors) {
  listen(echo);
  const auto connection = connect();
  std::vector<Value> values;
  for (unsigned i = 0; i < 300; ++i) values.emplace_back(iota_u8(i * 7, i));
  const auto reply = call_and_wait(*connection, request_with(values));
  ASSERT_EQ(reply.values.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(bit_identical(reply.values[i], values[i])) << i;
}

TEST_P(TransportConformance, GivesMemoryThatOutlivesIt) {
  listen(echo);
  auto connection = connect();
  constexpr std::size_t bytes = 300'000;
  std::vector<Storage> storages;
  for (int i = 0; i < 3; ++i) {
    storages.push_back(connection->allocate(bytes));
    ASSERT_EQ(storages.back().size_bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(storages.back().data()) % tensor_alignment_bytes, 0U);
    std::fill_n(storages.back().data(), bytes, static_cast<std::byte>(i));
    const Tensor tensor{storages.back(), DType::u8, {static_cast<std::int64_t>(bytes)}, {1}, 0};
    EXPECT_TRUE(bit_identical(call_and_wait(*connection, request_with({tensor})).values.at(0).tensor(), tensor));
  }
  connection.reset();
  listener.reset();
  transport.reset();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(storages[static_cast<std::size_t>(i)].data()[bytes - 1], static_cast<std::byte>(i));
}

TEST_P(TransportConformance, KeepsAReplyAliveAfterTheConnection) {
  listen(echo);
  const auto tensor = iota_u8(1'000'000);
  Message reply;
  {
    const auto connection = connect();
    reply = call_and_wait(*connection, request_with({tensor}));
  }
  listener.reset();
  transport.reset();
  EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), tensor));
}

// ---- many calls --------------------------------------------------------------------------------

TEST_P(TransportConformance, MatchesAnswersThatComeOutOfOrder) {
  listen(held.handler());
  const auto connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 10; ++i) outcomes.push_back(start_call(*connection, request_with({Value(i)})));
  ASSERT_TRUE(held.wait_for(10));
  auto items = held.take();
  std::reverse(items.begin(), items.end());
  for (auto& item : items) item.respond(reply_with(item.request.values));
  for (int i = 0; i < 10; ++i) {
    const auto* reply = outcomes[static_cast<std::size_t>(i)].message();
    ASSERT_NE(reply, nullptr);
    EXPECT_EQ(reply->values.at(0).integer(), i);
  }
}

TEST_P(TransportConformance, ServesManyCallsFromManyThreads) {
  listen(echo);
  const auto connection = connect();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::vector<Outcome> outcomes;
      for (int i = 0; i < 64; ++i)
        outcomes.push_back(start_call(*connection, request_with({Value(t * 1000 + i), iota_u8(3000 * i)})));
      for (int i = 0; i < 64; ++i) {
        const auto* reply = outcomes[static_cast<std::size_t>(i)].message();
        if (reply != nullptr && reply->values.at(0).integer() == t * 1000 + i &&
            bit_identical(reply->values.at(1).tensor(), iota_u8(3000 * i))) {
          ++good;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 8 * 64);
}

TEST_P(TransportConformance, ServesSeveralConnections) {
  listen(echo);
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < 8; ++i) connections.push_back(connect());
  for (int i = 0; i < 8; ++i) {
    const auto reply = call_and_wait(*connections[static_cast<std::size_t>(i)], request_with({Value(i)}));
    EXPECT_EQ(reply.values.at(0).integer(), i);
  }
}

// ---- errors ------------------------------------------------------------------------------------

TEST_P(TransportConformance, CarriesErrorsWithCodeAndText) {
  listen([](const Message&, const CallContext&, const Responder& respond) {
    respond(Message::make_error(Error(ErrorCode::incompatible, "fingerprint: found a, expected b")));
  });
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  const auto* reply = outcome.message();
  ASSERT_NE(reply, nullptr);
  EXPECT_EQ(reply->kind, MessageKind::error);
  EXPECT_EQ(reply->error, ErrorCode::incompatible);
  EXPECT_EQ(reply->error_message, "fingerprint: found a, expected b");
  EXPECT_EQ(code_of([&] { call_and_wait(*connection, request_with({})); }), ErrorCode::incompatible);
}

TEST_P(TransportConformance, TurnsWhatAHandlerThrowsIntoAnAnswer) {
  listen([](const Message& request, const CallContext&, const Responder&) {
    if (request.values.at(0).integer() == 0) throw Error(ErrorCode::incompatible, "another version");
    if (request.values.at(0).integer() == 1) throw std::runtime_error("boom");
    throw 7;  // NOLINT(hicpp-exception-baseclass)
  });
  const auto connection = connect();
  EXPECT_EQ(start_call(*connection, request_with({Value(0)})).error(), ErrorCode::incompatible);
  EXPECT_EQ(start_call(*connection, request_with({Value(1)})).error(), ErrorCode::internal);
  EXPECT_EQ(start_call(*connection, request_with({Value(2)})).error(), ErrorCode::internal);
}

TEST_P(TransportConformance, RefusesToConnectToNobody) {
  try {
    (void)transport->connect(GetParam().nobody, {});
    FAIL() << "connected";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), GetParam().has_queue ? ErrorCode::invalid_argument : ErrorCode::unavailable);
    EXPECT_NE(std::string(error.what()).find(GetParam().nobody), std::string::npos) << error.what();
  }
}

TEST_P(TransportConformance, RefusesABadEndpoint) {
  EXPECT_EQ(code_of([&] { (void)transport->connect("nonsense", {}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([&] { (void)transport->listen("nonsense", echo, {}); }), ErrorCode::invalid_argument);
}

TEST_P(TransportConformance, ListensOnAnAddressOnce) {
  if (GetParam().has_queue) return;
  listen(echo);
  EXPECT_EQ(code_of([&] { (void)transport->listen(listener->address(), echo, {}); }), ErrorCode::unavailable);
  const auto connection = connect();
  EXPECT_EQ(call_and_wait(*connection, request_with({Value(3)})).values.at(0).integer(), 3);
}

TEST_P(TransportConformance, ListensAgainAfterClosing) {
  listen(echo);
  const auto address = listener->address();
  {
    const auto connection = connect();
    (void)call_and_wait(*connection, request_with({}));
  }
  listener->close();
  if (!GetParam().has_queue) {
    EXPECT_EQ(code_of([&] { (void)transport->connect(address, {}); }), ErrorCode::unavailable);
  }
  listener = transport->listen(address, echo, {});
  (void)call_and_wait(*connect(), request_with({}));
}

TEST_P(TransportConformance, RefusesTooLargeARequestBeforeSending) {
  std::atomic<int> handled{0};
  listen([&handled](Message request, const CallContext& context, const Responder& respond) {
    ++handled;
    echo(std::move(request), context, respond);
  });
  ConnectOptions options;
  options.limits.max_message_bytes = 10'000;
  const auto connection = connect(options);
  EXPECT_EQ(start_call(*connection, request_with({iota_u8(20'000)})).error(), ErrorCode::too_large);
  EXPECT_EQ(handled, 0);
  (void)call_and_wait(*connection, request_with({iota_u8(1'000)}));
}

// ---- deadlines and cancellation ----------------------------------------------------------------

TEST_P(TransportConformance, EndsAtTheDeadlineThoughTheHandlerIsSlow) {
  listen(held.handler());
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}), Clock::now() + (GetParam().has_queue ? 500ms : 50ms));
  EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  if (!GetParam().has_queue) {
    EXPECT_TRUE(wait_until_stopped(items[0].context.stop));
  }
  items[0].respond(reply_with({}));  // Late: dropped.
  const auto next = start_call(*connection, request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(reply_with(item.request.values));
  ASSERT_NE(next.message(), nullptr);
  EXPECT_EQ(next.message()->values.at(0).integer(), 1);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_P(TransportConformance, KeepsDeadlinesApart) {
  listen(held.handler());
  const auto connection = connect();
  const auto late = start_call(*connection, request_with({}), Clock::now() + 150ms);
  const auto never = start_call(*connection, request_with({}));
  const auto early = start_call(*connection, request_with({}), Clock::now() + 30ms);
  EXPECT_EQ(early.error(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
  EXPECT_EQ(never.count(), 0);
}

TEST_P(TransportConformance, DoesNotSendWhatIsLateAlready) {
  listen(held.handler());
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}), Clock::now() - 1s);
  EXPECT_EQ(outcome.error(), ErrorCode::deadline_exceeded);
  EXPECT_FALSE(outcome.came_inside_call());
  EXPECT_FALSE(held.wait_for(1, 30ms));
}

TEST_P(TransportConformance, TellsTheHandlerTheDeadline) {
  listen(held.handler());
  const auto connection = connect();
  const auto deadline = Clock::now() + 1h;
  const auto with = start_call(*connection, request_with({Value(1)}), deadline);
  const auto without = start_call(*connection, request_with({Value(0)}));
  ASSERT_TRUE(held.wait_for(2));
  for (auto& item : held.take()) {
    if (item.request.values.at(0).integer() == 1) {
      ASSERT_TRUE(item.context.deadline);
      EXPECT_LT(*item.context.deadline, deadline + 30s);
      EXPECT_GT(*item.context.deadline, deadline - 30s);
    } else {
      EXPECT_FALSE(item.context.deadline);
    }
  }
}

TEST_P(TransportConformance, CancelsBeforeTheCall) {
  listen(held.handler());
  const auto connection = connect();
  std::stop_source stop;
  stop.request_stop();
  const auto outcome = start_call(*connection, request_with({}), {}, stop.get_token());
  EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
  EXPECT_FALSE(outcome.came_inside_call());
  EXPECT_FALSE(held.wait_for(1, 30ms));
}

TEST_P(TransportConformance, CancelsDuringTheCall) {
  listen(held.handler());
  const auto connection = connect();
  std::stop_source stop;
  const auto outcome = start_call(*connection, request_with({}), {}, stop.get_token());
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  EXPECT_FALSE(items[0].context.stop.stop_requested());
  stop.request_stop();
  EXPECT_EQ(outcome.error(), ErrorCode::cancelled);
  if (!GetParam().has_queue) {
    EXPECT_TRUE(wait_until_stopped(items[0].context.stop));
  }
  items[0].respond(reply_with({}));
  EXPECT_EQ(outcome.count(), 1);
}

TEST_P(TransportConformance, ForgetsTheStopTokenAfterTheAnswer) {
  listen(echo);
  const auto connection = connect();
  std::stop_source stop;
  (void)call_and_wait(*connection, request_with({}), {}, stop.get_token());
  stop.request_stop();
  (void)call_and_wait(*connection, request_with({}));
}

// ---- completions -------------------------------------------------------------------------------

TEST_P(TransportConformance, NeverCompletesInsideCall) {
  listen(echo);
  ConnectOptions options;
  options.max_calls_in_flight = 4;
  const auto connection = connect(options);
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 500; ++i) outcomes.push_back(start_call(*connection, request_with({})));
  connection->close();
  for (int i = 0; i < 10; ++i) outcomes.push_back(start_call(*connection, request_with({})));
  for (const auto& outcome : outcomes) {
    ASSERT_TRUE(outcome.wait());
    EXPECT_FALSE(outcome.came_inside_call());
    EXPECT_EQ(outcome.count(), 1);
  }
}

TEST_P(TransportConformance, AllowsACallFromWithinACompletion) {
  listen(echo);
  const auto connection = connect();
  std::promise<int> depth;
  std::function<void(int)> again = [&](int level) {
    Outcome::in_call() = true;
    connection->call(request_with({Value(level)}), {}, {}, [&, level](const CallResult& result) {
      EXPECT_FALSE(Outcome::in_call());
      EXPECT_TRUE(std::holds_alternative<Message>(result));
      level < 50 ? again(level + 1) : depth.set_value(level);
    });
    Outcome::in_call() = false;
  };
  again(0);
  auto done = depth.get_future();
  ASSERT_EQ(done.wait_for(kLongTime), std::future_status::ready);
  EXPECT_EQ(done.get(), 50);
}

TEST_P(TransportConformance, AllowsACompletionToDestroyItsConnection) {
  listen(held.handler());
  auto connection = connect();
  std::promise<void> destroyed;
  connection->call(request_with({}), {}, {}, [&](const CallResult&) {
    connection.reset();
    destroyed.set_value();
  });
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(reply_with({}));
  EXPECT_EQ(destroyed.get_future().wait_for(kLongTime), std::future_status::ready);
}

TEST_P(TransportConformance, AllowsACompletionToDestroyItsConnectionBeforeTheCallReturns) {
  listen(echo);
  for (int round = 0; round < 20; ++round) {
    auto connection = connect();
    std::promise<void> destroyed;
    connection->call(request_with({}), {}, {}, [&](const CallResult&) {
      connection.reset();
      destroyed.set_value();
    });
    EXPECT_EQ(destroyed.get_future().wait_for(kLongTime), std::future_status::ready);
  }
}

// Answers, deadlines, cancellations and closing race; each call still ends exactly once.
TEST_P(TransportConformance, CompletesExactlyOnceUnderStress) {
  std::atomic<unsigned> turn{0};
  listen([&](Message request, const CallContext& context, const Responder& respond) {
    switch (turn++ % 4) {
      case 0: return;                                               // Dropped.
      case 1: std::this_thread::sleep_for(300us); [[fallthrough]];  // Slow.
      default: echo(std::move(request), context, respond);
    }
  });
  for (int round = 0; round < 5; ++round) {
    const auto connection = connect();
    std::mutex mutex;
    std::vector<Outcome> outcomes;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937 random(t + static_cast<unsigned>(round) * 10);
        for (int i = 0; i < 100; ++i) {
          std::stop_source stop;
          Deadline deadline;
          if (random() % 2 == 0) deadline = Clock::now() + std::chrono::microseconds(random() % 2000);
          auto outcome = start_call(*connection, request_with({iota_u8(static_cast<std::int64_t>(random() % 5000))}),
                                    deadline, stop.get_token());
          if (random() % 3 == 0) stop.request_stop();
          const std::lock_guard lock(mutex);
          outcomes.push_back(std::move(outcome));
        }
      });
    }
    if (round % 2 == 0) {
      std::this_thread::sleep_for(3ms);
      connection->close();
    }
    for (auto& thread : threads) thread.join();
    for (const auto& outcome : outcomes) ASSERT_TRUE(outcome.wait());
    std::this_thread::sleep_for(5ms);
    for (const auto& outcome : outcomes) {
      EXPECT_EQ(outcome.count(), 1);
      EXPECT_FALSE(outcome.came_inside_call());
    }
  }
  listener->close();  // A handler that nobody waits for may still be looking at `turn`.
}

// ---- closing -----------------------------------------------------------------------------------

TEST_P(TransportConformance, EndsCallsWhenTheConnectionCloses) {
  listen(held.handler());
  const auto connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 5; ++i) outcomes.push_back(start_call(*connection, request_with({})));
  ASSERT_TRUE(held.wait_for(5));
  connection->close();
  connection->close();
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  if (GetParam().has_queue) return;
  for (auto& item : held.take()) EXPECT_TRUE(wait_until_stopped(item.context.stop));
}

TEST_P(TransportConformance, EndsCallsWhenTheConnectionIsDestroyed) {
  listen(held.handler());
  auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  connection.reset();
  EXPECT_EQ(outcome.count(), 1) << "the destructor waits for completions";
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
}

TEST_P(TransportConformance, EndsCallsWhenTheListenerCloses) {
  if (GetParam().has_queue) return;
  listen(held.handler());
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  listener->close();
  listener->close();
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  auto items = held.take();
  EXPECT_TRUE(items[0].context.stop.stop_requested());
  items[0].respond(reply_with({}));  // Discarded.
  items.clear();
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_P(TransportConformance, WaitsForRunningHandlersWhenTheListenerCloses) {
  std::promise<void> entered;
  std::atomic<bool> left{false};
  listen([&](const Message&, const CallContext&, const Responder&) {
    entered.set_value();
    std::this_thread::sleep_for(50ms);
    left = true;
  });
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  entered.get_future().wait();
  listener->close();
  EXPECT_TRUE(left);
  if (!GetParam().has_queue) {
    EXPECT_TRUE(outcome.wait());
  }
}

TEST_P(TransportConformance, AnswersAfterEverythingIsGone) {
  listen(held.handler());
  auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  connection.reset();
  listener.reset();
  transport.reset();
  items[0].respond(reply_with({}));
  EXPECT_EQ(outcome.count(), 1);
}

// ---- losing the peer ---------------------------------------------------------------------------

TEST_P(TransportConformance, ConnectsAgainByItself) {
  if (!GetParam().leaves_process) return;
  listen(echo);
  const auto address = listener->address();
  ConnectOptions options;
  options.reconnect.first_pause = 5ms;
  options.reconnect.longest_pause = 20ms;
  const auto connection = connect(options);
  for (int round = 0; round < 3; ++round) {
    (void)call_and_wait(*connection, request_with({}));
    listener->close();
    EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
    std::this_thread::sleep_for(30ms);  // Some attempts fail.
    listener = transport->listen(address, echo, {});
    const auto until = Clock::now() + kLongTime;
    Outcome outcome = start_call(*connection, request_with({}));
    while (outcome.error() == ErrorCode::unavailable && Clock::now() < until) {
      std::this_thread::sleep_for(1ms);
      outcome = start_call(*connection, request_with({}));
    }
    EXPECT_NE(outcome.message(), nullptr);
  }
}

TEST_P(TransportConformance, StaysLostWhenToldSo) {
  if (!GetParam().leaves_process) return;
  listen(echo);
  const auto address = listener->address();
  ConnectOptions options;
  options.reconnect.enabled = false;
  const auto connection = connect(options);
  listener->close();
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  listener = transport->listen(address, echo, {});
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST_P(TransportConformance, ClosesWhileItConnectsAgain) {
  if (GetParam().has_queue) return;
  listen(echo);
  for (const auto pause : {0ms, 1ms, 30ms}) {
    ConnectOptions options;
    options.reconnect.first_pause = options.reconnect.longest_pause = pause;
    auto connection = connect(options);
    const auto address = listener->address();
    listener->close();
    (void)start_call(*connection, request_with({})).error();
    std::this_thread::sleep_for(2ms);
    connection->close();
    EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
    connection.reset();
    listener = transport->listen(address, echo, {});
  }
}

// ---- access ------------------------------------------------------------------------------------

inline constexpr const char* right_token = "the-token-of-this-test";

/// What somebody with this token gets when he connects and calls.
inline std::optional<ErrorCode> outcome_with(Transport& transport, const std::string& address,
                                             const std::string& token) {
  ConnectOptions options;
  options.token = token;
  options.reconnect.enabled = false;
  try {
    return start_call(*transport.connect(address, options), request_with({iota_u8(100'000)})).error();
  } catch (const Error& error) {
    return error.code();
  }
}

TEST_P(TransportConformance, ServesWhoShowsTheToken) {
  if (!GetParam().leaves_process) return;
  ListenOptions options;
  options.token = right_token;
  listen(echo, options);
  ConnectOptions with_token;
  with_token.token = right_token;
  const auto connection = connect(with_token);
  for (int i = 0; i < 3; ++i) {
    const auto reply = call_and_wait(*connection, request_with({Value(i), iota_u8(1'000'000)}));
    EXPECT_EQ(reply.values.at(0).integer(), i);
  }
}

TEST_P(TransportConformance, RefusesWhoDoesNot) {
  if (!GetParam().leaves_process) return;
  std::atomic<int> handled{0};
  ListenOptions options;
  options.token = right_token;
  options.max_wrong_tokens_per_s = 1000;
  listen(
      [&handled](Message request, const CallContext& context, const Responder& respond) {
        ++handled;
        echo(std::move(request), context, respond);
      },
      options);
  const std::string address = listener->address();
  EXPECT_EQ(outcome_with(*transport, address, ""), ErrorCode::unauthenticated);
  EXPECT_EQ(outcome_with(*transport, address, std::string(right_token) + "s"), ErrorCode::unauthenticated);
  EXPECT_EQ(outcome_with(*transport, address, "quite-another-token-x"), ErrorCode::unauthenticated);
  EXPECT_EQ(handled, 0);
  EXPECT_EQ(outcome_with(*transport, address, right_token), std::nullopt);
  EXPECT_EQ(handled, 1);
  EXPECT_EQ(outcome_with(*transport, address, "short"), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([&] {
              options.token = "short";
              (void)transport->listen(GetParam().listen_endpoint, echo, options);
            }),
            ErrorCode::invalid_argument);
}

TEST_P(TransportConformance, TakesATokenThatNobodyAskedFor) {
  listen(echo);
  EXPECT_EQ(outcome_with(*transport, listener->address(), right_token), std::nullopt);
}

TEST_P(TransportConformance, TurnsAwayWhoGuessesTokens) {
  if (!GetParam().leaves_process) return;
  ListenOptions options;
  options.token = right_token;
  options.max_wrong_tokens_per_s = 2;
  listen(echo, options);
  ConnectOptions with_token;
  with_token.token = right_token;
  const auto friendly = connect(with_token);
  std::map<std::optional<ErrorCode>, int> outcomes;
  for (int i = 0; i < 20; ++i) {
    ++outcomes[outcome_with(*transport, listener->address(), "quite-another-token-" + std::to_string(i))];
  }
  EXPECT_EQ(start_call(*friendly, request_with({})).error(), std::nullopt) << "who is inside stays inside";
  EXPECT_GE(outcomes[ErrorCode::unauthenticated], 2);
  EXPECT_GE(outcomes[ErrorCode::overloaded], 1);
  EXPECT_EQ(outcomes[ErrorCode::unauthenticated] + outcomes[ErrorCode::overloaded], 20);
  const auto until = Clock::now() + kLongTime;  // He who knows it has to wait a moment too.
  std::optional<ErrorCode> outcome = ErrorCode::overloaded;
  while (outcome == ErrorCode::overloaded && Clock::now() < until) {
    std::this_thread::sleep_for(20ms);
    outcome = outcome_with(*transport, listener->address(), right_token);
  }
  EXPECT_EQ(outcome, std::nullopt);
}

TEST_P(TransportConformance, LimitsRequestsPerSecond) {
  if (!GetParam().leaves_process) return;
  ListenOptions options;
  options.max_requests_per_s = 10;
  listen(echo, options);
  const auto connection = connect();
  int good = 0;
  int overloaded = 0;
  const auto start = Clock::now();
  for (int i = 0; i < 40; ++i) {
    const auto error = start_call(*connection, request_with({})).error();
    good += error ? 0 : 1;
    overloaded += error == ErrorCode::overloaded ? 1 : 0;
  }
  const double took_s = std::chrono::duration<double>(Clock::now() - start).count();
  EXPECT_GE(good, 10);
  EXPECT_LE(good, 10 + 10 * took_s + 1);
  EXPECT_EQ(good + overloaded, 40);
}

TEST_P(TransportConformance, LimitsNewConnectionsPerSecond) {
  if (!GetParam().leaves_process) return;
  ListenOptions options;
  options.max_connects_per_s = 3;
  listen(echo, options);
  std::map<std::optional<ErrorCode>, int> outcomes;
  const auto start = Clock::now();
  for (int i = 0; i < 20; ++i) ++outcomes[outcome_with(*transport, listener->address(), "")];
  const double took_s = std::chrono::duration<double>(Clock::now() - start).count();
  EXPECT_GE(outcomes[std::nullopt], 3);
  EXPECT_LE(outcomes[std::nullopt], 3 + 3 * took_s + 1);
  EXPECT_EQ(outcomes[std::nullopt] + outcomes[ErrorCode::overloaded], 20);
}

// ---- answering ---------------------------------------------------------------------------------

TEST_P(TransportConformance, AnswersInternalForADroppedResponder) {
  listen(held.handler());
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  held.take().clear();
  EXPECT_EQ(outcome.error(), ErrorCode::internal);
}

TEST_P(TransportConformance, IgnoresASecondAnswer) {
  listen(held.handler());
  const auto connection = connect();
  const auto outcome = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) {
    item.respond(reply_with({Value(1)}));
    item.respond(reply_with({Value(2)}));
  }
  ASSERT_NE(outcome.message(), nullptr);
  EXPECT_EQ(outcome.message()->values.at(0).integer(), 1);
  const auto next = start_call(*connection, request_with({}));
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_EQ(outcome.count(), 1);
  EXPECT_EQ(next.count(), 0) << "the second answer must not be taken for this call's";
}

// ---- bounds ------------------------------------------------------------------------------------

TEST_P(TransportConformance, RefusesMoreCallsThanTheConnectionAllows) {
  listen(held.handler());
  ConnectOptions options;
  options.max_calls_in_flight = 2;
  const auto connection = connect(options);
  const auto first = start_call(*connection, request_with({}));
  const auto second = start_call(*connection, request_with({}));
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::overloaded);
  ASSERT_TRUE(held.wait_for(2));
  for (auto& item : held.take()) item.respond(reply_with({}));
  EXPECT_NE(first.message(), nullptr);
  EXPECT_NE(second.message(), nullptr);
  const auto third = start_call(*connection, request_with({}));
  EXPECT_TRUE(held.wait_for(1));
}

TEST_P(TransportConformance, HandlesNoMoreRequestsThanTheListenerAllows) {
  ListenOptions options;
  options.max_calls_in_flight = 2;
  listen(held.handler(), options);
  const auto connection = connect();
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 7; ++i) outcomes.push_back(start_call(*connection, request_with({Value(i)})));
  for (int answered = 0; answered < 7;) {
    ASSERT_TRUE(held.wait_for(1));
    EXPECT_FALSE(held.wait_for(3, 5ms));
    for (auto& item : held.take()) {
      item.respond(reply_with(item.request.values));
      ++answered;
    }
  }
  for (const auto& outcome : outcomes) EXPECT_NE(outcome.message(), nullptr);
}

TEST_P(TransportConformance, TakesNoMoreConnectionsThanTheListenerAllows) {
  if (!GetParam().leaves_process) return;
  ListenOptions options;
  options.max_connections = 3;
  listen(echo, options);
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < 3; ++i) {
    connections.push_back(connect());
    EXPECT_EQ(start_call(*connections.back(), request_with({})).error(), std::nullopt);
  }
  EXPECT_EQ(outcome_with(*transport, listener->address(), ""), ErrorCode::overloaded);
  for (const auto& connection : connections) {
    EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  }
  connections.pop_back();
  // The listener notices a moment later.
  const auto until = Clock::now() + kLongTime;
  std::optional<ErrorCode> outcome = ErrorCode::overloaded;
  while (outcome == ErrorCode::overloaded && Clock::now() < until) {
    outcome = outcome_with(*transport, listener->address(), "");
  }
  EXPECT_EQ(outcome, std::nullopt);
}

TEST_P(TransportConformance, HasOneByteBudgetForAllPeers) {
  if (!GetParam().leaves_process) return;
  ListenOptions options;
  options.max_received_bytes = 3'500'000;
  listen(held.handler(), options);
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<Outcome> outcomes;
  for (int i = 0; i < 8; ++i) {
    connections.push_back(connect());
    outcomes.push_back(start_call(*connections.back(), request_with({iota_u8(1'000'000)})));
  }
  // Three are held, and the others have been answered.
  ASSERT_TRUE(held.wait_for(3));
  const auto answered = [&] {
    return std::count_if(outcomes.begin(), outcomes.end(), [](const auto& outcome) { return outcome.count() > 0; });
  };
  const auto until = Clock::now() + kLongTime;
  while (answered() < 5) {
    ASSERT_LT(Clock::now(), until);
    std::this_thread::sleep_for(1ms);
  }
  auto items = held.take();
  ASSERT_EQ(items.size(), 3U);
  for (auto& item : items) {
    item.request = {};
    item.respond(reply_with({}));
  }
  int good = 0;
  for (const auto& outcome : outcomes) {
    const auto error = outcome.error();
    EXPECT_TRUE(!error || error == ErrorCode::overloaded) << to_string(*error);
    good += error ? 0 : 1;
  }
  EXPECT_EQ(good, 3);
  // The refused ones still have their connections, and there is room again.
  for (const auto& connection : connections) {
    const auto outcome = start_call(*connection, request_with({iota_u8(1'000'000)}));
    ASSERT_TRUE(held.wait_for(1));
    for (auto& item : held.take()) {
      item.request = {};
      item.respond(reply_with({}));
    }
    EXPECT_EQ(outcome.error(), std::nullopt);
  }
}

}  // namespace splitnet::testing
