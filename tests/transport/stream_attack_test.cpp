// SPDX-License-Identifier: Apache-2.0
// What is done to the transports over stream sockets, and what their peers answer: docs/faults.md.
#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <atomic>

#include "descriptors.hpp"
#include "hand_written_message.hpp"
#include "peer_process.hpp"
#include "roads.hpp"
#include "splitnet/testing/transport_tools.hpp"

extern char** environ;

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::BadServer;
using testing::echo;
using testing::RawPeer;
using testing::request_with;

/// Every transport over stream sockets.
class StreamAttack : public ::testing::TestWithParam<std::string> {
 protected:
  void listen(const ListenOptions& options = {}) {
    listener = transports.listen(
        GetParam(),
        [this](Message request, const CallContext& context, const Responder& respond) {
          if (request.request.model != "conformance") ++strange_requests;
          echo(std::move(request), context, respond);
        },
        options);
    friendly = transports.connect(listener->address(), {});
    expect_served();
  }
  void TearDown() override {
    if (listener) expect_served();
  }
  static RawPeer attacker_of(const Listener& attacked) {
    return RawPeer(attacked.address(), testing::connecting_cipher(attacked.address()));
  }
  RawPeer attacker() const { return attacker_of(*listener); }
  static std::string other_endpoint() { return GetParam().starts_with("unix") ? GetParam() + "_other" : GetParam(); }
  void expect_served() const {
    EXPECT_EQ(call_and_wait(*friendly, request_with({Value(5)}), std::chrono::steady_clock::now() + 20s)
                  .values.at(0)
                  .integer(),
              5);
  }

  static Storage good_request(std::int64_t bytes = 1000, std::uint64_t id = 9) {
    auto request = request_with({testing::iota_u8(bytes)});
    request.id = id;
    return encode(request).join();
  }

  TransportRegistry transports = testing::all_transports();
  std::atomic<int> strange_requests{0};
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> friendly;
};

TEST_P(StreamAttack, SpeaksItsProtocolToItsFriends) {
  listen();
  const RawPeer peer = attacker();
  peer.send(good_request());
  peer.stop_sending();
  const auto answers = peer.read_messages();
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].kind, MessageKind::reply);
  EXPECT_EQ(answers[0].id, 9U);
}

TEST_P(StreamAttack, HostileMessages) {
  listen();
  for (const auto& hostile : testing::hostile_messages(MessageKind::request, 9)) {
    SCOPED_TRACE(hostile.name);
    const RawPeer peer = attacker();
    peer.send(hostile.bytes);
    peer.stop_sending();
    peer.expect_error(hostile.code);
  }
  EXPECT_EQ(strange_requests, 0);
}

TEST_P(StreamAttack, Garbage) {
  listen();
  const RawPeer peer = attacker();
  peer.send(std::string(100'000, '\xaa'));
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, HttpRequestShorterThanAHeader) {
  listen();
  const RawPeer peer = attacker();
  peer.send("GET / HTTP/1.1\r\n\r\n");
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, EveryFlippedBitOfTheHeader) {
  listen();
  for (std::size_t bit = 0; bit < message_header_bytes * 8; bit += 5) {
    const RawPeer peer = attacker();
    const auto bytes = good_request();
    bytes.data()[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    peer.send(bytes);
    peer.stop_sending();
    const auto answers = peer.read_messages();
    ASSERT_EQ(answers.size(), 1U) << "bit " << bit;
    EXPECT_EQ(answers[0].kind, MessageKind::error) << "bit " << bit;
  }
}

TEST_P(StreamAttack, FlippedBitOfThePayload) {
  listen();
  const RawPeer peer = attacker();
  const auto bytes = good_request();
  bytes.data()[bytes.size_bytes() - 1] ^= std::byte{1};
  peer.send(bytes);
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, LengthOf2To63) {
  listen();
  // Whatever field of the header holds the lengths: no value of it may be believed.
  for (std::size_t at = 0; at + 8 <= message_header_bytes; at += 4) {
    const RawPeer peer = attacker();
    const auto bytes = good_request();
    const std::uint64_t huge = std::uint64_t{1} << 63;
    std::memcpy(bytes.data() + at, &huge, sizeof huge);
    peer.send(bytes.data(), message_header_bytes);
    peer.stop_sending();
    const auto answers = peer.read_messages();
    ASSERT_EQ(answers.size(), 1U) << "offset " << at;
    EXPECT_EQ(answers[0].kind, MessageKind::error) << "offset " << at;
  }
}

TEST_P(StreamAttack, LargerThanTheLimit) {
  ListenOptions options;
  options.limits.max_message_bytes = 100'000;
  listen(options);
  const auto connection = transports.connect(listener->address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({testing::iota_u8(3'000'000)})).error(),
            ErrorCode::too_large);
}

TEST_P(StreamAttack, TruncatedAtEveryByte) {
  listen();
  auto request = request_with({testing::iota_u8(3)});
  request.request.model = "strange";
  const auto bytes = encode(request).join();
  for (std::size_t size = 1; size < bytes.size_bytes(); ++size) {
    const RawPeer peer = attacker();
    peer.send(bytes.data(), size);
    peer.stop_sending();
    EXPECT_TRUE(peer.read_messages().empty()) << size;
  }
  EXPECT_EQ(strange_requests, 0);
}

/// Their bytes count for all as long as they are waited for, and no longer.
TEST_P(StreamAttack, AnnouncesWhatNeverComes) {
  ListenOptions options;
  options.max_received_bytes = 3'000'000;
  listen(options);
  const auto large = [this] {
    return testing::start_call(*friendly, request_with({testing::iota_u8(1'200'000)})).error();
  };
  const auto until = std::chrono::steady_clock::now() + testing::kLongTime;
  for (bool is_full = false; !is_full;) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    const RawPeer first = attacker();
    const RawPeer second = attacker();
    for (const RawPeer* peer : {&first, &second}) {
      const auto small = good_request(10);
      const auto announced = good_request(1'000'000);
      std::string bytes(reinterpret_cast<const char*>(small.data()), small.size_bytes());
      bytes.append(reinterpret_cast<const char*>(announced.data()), message_header_bytes + 100);
      peer->send(bytes);
      EXPECT_FALSE(peer->read_some().empty());  // What came with the small request is looked at next.
    }
    is_full = large() == ErrorCode::overloaded;
  }
  while (large() == ErrorCode::overloaded) ASSERT_LT(std::chrono::steady_clock::now(), until);
  EXPECT_EQ(large(), std::nullopt);
}

TEST_P(StreamAttack, SlowLoris) {
  ListenOptions options;
  options.message_timeout = 150ms;
  listen(options);
  const RawPeer peer = attacker();
  const auto bytes = good_request();
  for (std::size_t i = 0; i < 8; ++i) {
    peer.send(bytes.data() + i, 1);
    std::this_thread::sleep_for(40ms);
  }
  peer.expect_error(ErrorCode::deadline_exceeded);
}

TEST_P(StreamAttack, HalfAMessageThenSilence) {
  ListenOptions options;
  options.message_timeout = 50ms;
  listen(options);
  const RawPeer in_header = attacker();
  const RawPeer in_body = attacker();
  const auto bytes = good_request();
  in_header.send(bytes.data(), 20);
  in_body.send(bytes.data(), bytes.size_bytes() - 1);
  in_header.expect_error(ErrorCode::deadline_exceeded);
  in_body.expect_error(ErrorCode::deadline_exceeded);
}

// A reader of a large message may sleep until much of it has come: it must wake for the last bytes, for a small message
// behind it, and for an end in the middle.
TEST_P(StreamAttack, LargeMessagesInPiecesWithPauses) {
  listen();
  for (const std::int64_t bytes : {1'200'000, 1'250'000, 2'000'000, 3'000'000}) {
    const auto large = good_request(bytes);
    for (const std::size_t last_bytes : {1UL, 700'000UL, 1'100'000UL}) {
      SCOPED_TRACE(std::to_string(bytes) + " bytes, the last " + std::to_string(last_bytes) + " late");
      const std::size_t first_bytes = large.size_bytes() - last_bytes;
      const RawPeer peer = attacker();
      peer.send(large.data(), first_bytes / 2);
      std::this_thread::sleep_for(5ms);
      peer.send(large.data() + first_bytes / 2, first_bytes - first_bytes / 2);
      std::this_thread::sleep_for(5ms);
      peer.send(large.data() + first_bytes, last_bytes);
      peer.send(good_request(10, 10));
      std::this_thread::sleep_for(5ms);
      peer.send(good_request(10, 11));
      const auto answers = peer.read_messages(3);
      ASSERT_EQ(answers.size(), 3U);
      for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(answers[i].id, 9 + i);

      const RawPeer leaver = attacker();
      leaver.send(large.data(), first_bytes);
      std::this_thread::sleep_for(5ms);
      leaver.stop_sending();
      EXPECT_TRUE(leaver.read_messages().empty());
    }
  }
}

TEST_P(StreamAttack, IdleConnectionsAreNotSlowMessages) {
  ListenOptions options;
  options.message_timeout = 30ms;
  listen(options);
  std::this_thread::sleep_for(100ms);
  expect_served();
  std::this_thread::sleep_for(100ms);
}

TEST_P(StreamAttack, ReaderThatNeverReads) {
  ListenOptions options;
  options.max_queued_bytes = 4'000'000;
  listen(options);
  const RawPeer peer = attacker();
  ASSERT_EQ(::fcntl(peer.descriptor(), F_SETFL, O_NONBLOCK), 0);
  auto request = request_with({testing::iota_u8(500'000)});
  bool closed = false;
  const auto until = std::chrono::steady_clock::now() + 20s;
  // Sends whole requests and reads nothing until the listener has had enough.
  for (std::uint64_t id = 1; !closed && std::chrono::steady_clock::now() < until; ++id) {
    request.id = id;
    const auto message = encode(request).join();
    const auto bytes = peer.sealed(message.data(), message.size_bytes());
    for (std::size_t sent = 0; sent < bytes.size() && !closed && std::chrono::steady_clock::now() < until;) {
      const auto n = ::send(peer.descriptor(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n > 0) {
        sent += static_cast<std::size_t>(n);
      } else if (errno == EAGAIN) {
        std::this_thread::sleep_for(1ms);
      } else {
        closed = true;
      }
    }
  }
  EXPECT_TRUE(closed);
}

/// FAULTS 22 and 32.
TEST_P(StreamAttack, RequestsThatComeTwice) {
  testing::Held held;
  const auto holding = transports.listen(other_endpoint(), held.handler(), {});
  const RawPeer peer = attacker_of(*holding);
  const auto bytes = good_request();
  peer.send(bytes);
  peer.send(bytes);
  peer.send(good_request(1000, 10));  // What comes after the second has been looked at after it.
  ASSERT_TRUE(held.wait_for(2));
  auto items = held.take();
  ASSERT_EQ(items.size(), 2U) << "one id is one call while it is under way";
  for (auto& item : items) {
    item.respond(testing::reply_with({Value(1)}));
    item.respond(testing::reply_with({Value(2)}));
  }
  const RawPeer again = attacker_of(*holding);  // What was recorded elsewhere is a request like any other.
  again.send(bytes);
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(testing::reply_with({}));
  peer.stop_sending();
  const auto answers = peer.read_messages();
  ASSERT_EQ(answers.size(), 2U);
  for (const auto& answer : answers) EXPECT_EQ(answer.values.at(0).integer(), 1);
  EXPECT_EQ(answers[0].id, 9U);
  EXPECT_EQ(answers[1].id, 10U);
}

/// FAULTS 32: no order of requests is expected, and a cancel that comes before its request or after its answer is about
/// nothing.
TEST_P(StreamAttack, RequestsAndCancelsInAnyOrder) {
  listen();
  const RawPeer peer = attacker();
  Message cancel;
  cancel.kind = MessageKind::cancel;
  for (const std::uint64_t id : {std::uint64_t{9}, ~std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{9}}) {
    cancel.id = id;
    peer.send(cancel);
    peer.send(good_request(10, id));
    peer.send(cancel);
  }
  peer.stop_sending();
  const auto answers = peer.read_messages();
  ASSERT_EQ(answers.size(), 4U);
  EXPECT_EQ(answers[0].id, 9U);
  EXPECT_EQ(answers[1].id, ~std::uint64_t{0});
  EXPECT_EQ(answers[2].id, 3U);
  EXPECT_EQ(answers[3].id, 9U);
  for (const auto& answer : answers) EXPECT_EQ(answer.kind, MessageKind::reply);
}

TEST_P(StreamAttack, ReplyInsteadOfARequest) {
  listen();
  const RawPeer peer = attacker();
  peer.send(encode(testing::reply_with({})).join());
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, MoreConnectionsThanAllowed) {
  ListenOptions options;
  options.max_connections = 3;
  listen(options);
  const RawPeer second = attacker();
  const RawPeer third = attacker();
  const RawPeer fourth = attacker();
  fourth.expect_error(ErrorCode::overloaded);
}

/// FAULTS 24. With fewer descriptors than that, as many as there are.
TEST_P(StreamAttack, TenThousandIdleConnections) {
  const testing::ManyDescriptors many;
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  listen(options);
  const auto most = many.for_idle_connections();
  const auto idle_connections = std::min<std::ptrdiff_t>(10'000, most);
  const auto before = testing::entries_of("/proc/self/fd");
  {
    std::vector<std::unique_ptr<RawPeer>> idle;
    for (std::ptrdiff_t i = 0; i < idle_connections; ++i) {
      idle.push_back(std::make_unique<RawPeer>(listener->address()));
      if (i % 1000 == 0) expect_served();
    }
    expect_served();
    const auto until = std::chrono::steady_clock::now() + testing::kLongTime;
    const auto bound = before + idle_connections + static_cast<std::ptrdiff_t>(options.max_connections);
    while (testing::entries_of("/proc/self/fd") > bound) ASSERT_LT(std::chrono::steady_clock::now(), until);
  }
  // They are forgotten, and there is room again.
  const auto until = std::chrono::steady_clock::now() + testing::kLongTime;
  for (bool is_served = false; !is_served;) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    try {
      (void)call_and_wait(*transports.connect(listener->address()), request_with({}), until);
      is_served = true;
    } catch (const Error&) {
    }
  }
}

TEST_P(StreamAttack, NoFileDescriptorsLeft) {
  listen();
  {
    // Sockets of our own until none is left: the last ones stay in the backlog.
    testing::FewDescriptors few;
    std::vector<std::unique_ptr<RawPeer>> waiting;
    for (int i = 0; i < 20; ++i) waiting.push_back(std::make_unique<RawPeer>(listener->address()));
    few.fill();
    expect_served();
  }
  const auto connection = transports.connect(listener->address(), {});
  (void)call_and_wait(*connection, request_with({}), std::chrono::steady_clock::now() + 20s);
}

// ---- nothing stays behind ----------------------------------------------------------------------

/// No thread and no descriptor.
TEST_P(StreamAttack, TenThousandConnectsAndCloses) {
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  listen(options);
  const testing::NothingLeftBehind nothing;
#if defined(__SANITIZE_THREAD__)
  const int most = 1'000;  // Each thread costs a millisecond there.
#else
  const int most = 10'000;
#endif
  const int rounds = GetParam().starts_with("tls") ? most / 10 : most;  // A handshake costs as much as ten connections.
  for (int i = 0; i < rounds; ++i) {
    auto connection = transports.connect(listener->address());
    if (i % 100 == 0) (void)call_and_wait(*connection, request_with({}));
    if (i % 2 == 0) connection->close();
  }
  nothing.expect();
}

// ---- strangers ---------------------------------------------------------------------------------

Message hello(const std::string& token) {
  Message message;
  message.kind = MessageKind::hello;
  message.values = {Value(token)};
  return message;
}

class StreamStranger : public StreamAttack {
 protected:
  void listen(ListenOptions options = {}) {
    options.token = right_token;
    options.max_wrong_tokens_per_s = 1000;
    listener = transports.listen(GetParam(), echo, options);
    ConnectOptions with_token;
    with_token.token = right_token;
    friendly = transports.connect(listener->address(), with_token);
    expect_served();
  }
  const std::string right_token = "the-token-of-this-test";
};

TEST_P(StreamStranger, ShowsNoToken) {
  listen();
  const RawPeer peer = attacker();
  peer.send(request_with({}));
  peer.expect_error(ErrorCode::unauthenticated);
}

TEST_P(StreamStranger, ShowsAWrongOne) {
  listen();
  for (const std::string& token : {std::string(), right_token + "x", right_token.substr(1), std::string(3000, 'x')}) {
    const RawPeer peer = attacker();
    peer.send(hello(token));
    peer.expect_error(ErrorCode::unauthenticated);
  }
  const RawPeer peer = attacker();
  auto two = hello(right_token);
  two.values.emplace_back(right_token);
  peer.send(two);
  peer.expect_error(ErrorCode::unauthenticated);
}

/// Little memory is taken for somebody unknown.
TEST_P(StreamStranger, SendsALargeRequestFirst) {
  listen();
  const RawPeer peer = attacker();
  auto bytes = encode(request_with({testing::iota_u8(1'000'000)})).join();
  peer.send(bytes.data(), message_header_bytes);
  peer.expect_error(ErrorCode::unauthenticated);
}

TEST_P(StreamStranger, SaysNothing) {
  ListenOptions options;
  options.handshake_timeout = 50ms;
  listen(options);
  const RawPeer peer = attacker();
  peer.expect_error(ErrorCode::deadline_exceeded);
  expect_served();  // Who has shown his token may be silent.
}

TEST_P(StreamStranger, ShowsItsTokenSlowly) {
  ListenOptions options;
  options.handshake_timeout = 100ms;
  listen(options);
  const RawPeer peer = attacker();
  const auto bytes = encode(hello(right_token)).join();
  for (std::size_t i = 0; i < 8; ++i) {
    peer.send(bytes.data() + i, 1);
    std::this_thread::sleep_for(20ms);
  }
  peer.expect_error(ErrorCode::deadline_exceeded);
}

// ---- a peer that answers badly -----------------------------------------------------------------

class StreamCaller : public ::testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<BadServer> bad_server(std::function<void(const RawPeer&)> behave, int visits = 1) {
    return std::make_unique<BadServer>(
        GetParam(), std::move(behave), [] { return testing::listening_cipher(GetParam()); }, visits);
  }
  std::unique_ptr<Connection> connect(const std::string& address, bool once = true) const {
    ConnectOptions options;
    options.reconnect.enabled = !once;
    return transports.connect(address, options);
  }
  const TransportRegistry transports = testing::all_transports();
};

TEST_P(StreamCaller, ReportsAnHttpServer) {
  const auto server = bad_server([](const RawPeer& peer) {
    (void)peer.read_some();
    peer.send("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  const auto connection = connect(server->address(), false);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST_P(StreamCaller, ReportsHostileReplies) {
  const auto hostile = testing::hostile_messages(MessageKind::reply, 1);
  std::size_t next = 0;
  const auto server = bad_server(
      [&](const RawPeer& peer) {
        (void)peer.read_some();
        peer.send(hostile[next].bytes);
        (void)peer.read_to_end();
      },
      static_cast<int>(hostile.size()));
  for (; next < hostile.size(); ++next) {
    const auto connection = connect(server->address());
    EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), hostile[next].code) << hostile[next].name;
  }
}

/// FAULTS 7.
TEST_P(StreamCaller, ReportsAReplyTruncatedAtAnyByte) {
  auto reply = testing::reply_with({testing::iota_u8(3)});
  reply.id = 1;
  const auto bytes = encode(reply).join();
  std::size_t size = 0;
  const auto server = bad_server(
      [&](const RawPeer& peer) {
        (void)peer.read_some();
        peer.send(bytes.data(), size);
      },
      static_cast<int>(bytes.size_bytes()));
  for (; size < bytes.size_bytes(); ++size) {
    const auto connection = connect(server->address());
    EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable) << size;
  }
}

TEST_P(StreamCaller, ReportsADamagedReplyForItsCallOnly) {
  const auto server = bad_server([](const RawPeer& peer) {
    (void)peer.read_some();
    auto reply = testing::reply_with({testing::iota_u8(100)});
    reply.id = 1;
    auto bytes = encode(reply).join();
    bytes.data()[bytes.size_bytes() - 1] ^= std::byte{4};
    peer.send(bytes);
    (void)peer.read_some();
    reply.id = 2;
    peer.send(reply);
    (void)peer.read_some();
  });
  const auto connection = connect(server->address());
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), std::nullopt);
}

TEST_P(StreamCaller, DropsAnAnswerToNoCall) {
  const auto server = bad_server([](const RawPeer& peer) {
    (void)peer.read_some();
    const auto answer = [&peer](std::uint64_t id) {
      auto reply = testing::reply_with({});
      reply.id = id;
      peer.send(reply);
    };
    for (const std::uint64_t id : {77, 1, 1}) answer(id);
    (void)peer.read_some();
    for (const std::uint64_t id : {1, 2}) answer(id);
    (void)peer.read_some();
  });
  const auto connection = connect(server->address());
  const auto outcome = testing::start_call(*connection, request_with({}));
  EXPECT_EQ(outcome.error(), std::nullopt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), std::nullopt);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_P(StreamCaller, BoundsWhatWaitsForAPeerThatDoesNotRead) {
  std::promise<void> finished;
  const auto server = bad_server([&finished](const RawPeer&) { finished.get_future().wait(); });
  ConnectOptions options;
  options.max_queued_bytes = 30'000'000;
  const auto connection = transports.connect(server->address(), options);
  const auto tensor = testing::iota_u8(10'000'000);
  std::vector<testing::Outcome> outcomes;
  for (int i = 0; i < 12; ++i) outcomes.push_back(testing::start_call(*connection, request_with({tensor})));
  EXPECT_EQ(outcomes.back().error(), ErrorCode::overloaded);
  connection->close();
  for (const auto& outcome : outcomes) {
    const auto error = outcome.error();
    EXPECT_TRUE(error == ErrorCode::overloaded || error == ErrorCode::unavailable);
  }
  finished.set_value();
}

// ---- a peer process that is killed, or stopped ---------------------------------------------------

// Not a test but the process of the next tests.
TEST(StreamPeerProcess, DISABLED_AnswersWhatHasValues) {
  std::vector<Responder> never;
  const auto listener =
      testing::all_transports().listen(testing::endpoint_of_peer_process(),
                                       [&never](Message request, const CallContext& context, const Responder& respond) {
                                         if (!request.values.empty()) return echo(std::move(request), context, respond);
                                         never.push_back(respond);
                                       });
  testing::be_peer_process(listener->address());
}
constexpr const char* peer_process = "StreamPeerProcess.DISABLED_AnswersWhatHasValues";

TEST_P(StreamCaller, EndsCallsWhenThePeerProcessIsKilled) {
  std::string address;
  std::unique_ptr<Connection> connection;
  std::optional<testing::Outcome> outcome;
  {
    const testing::PeerProcess peer(peer_process, GetParam());
    address = peer.address();
    connection = transports.connect(address);
    outcome = testing::start_call(*connection, request_with({}));
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(outcome->count(), 0);
  }
  EXPECT_EQ(outcome->error(), ErrorCode::unavailable);
  EXPECT_EQ(testing::code_of([&] { (void)transports.connect(address); }), ErrorCode::unavailable);
}

/// FAULTS 29: its kernel still takes what is sent.
TEST_P(StreamCaller, DropsLateAnswersOfAPeerProcessThatWasStopped) {
  const testing::PeerProcess peer(peer_process, GetParam());
  const auto connection = transports.connect(peer.address());
  (void)call_and_wait(*connection, request_with({Value(0)}));
  peer.stop();
  const auto late =
      testing::start_call(*connection, request_with({Value(1)}), std::chrono::steady_clock::now() + 100ms);
  EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
  peer.go_on();
  EXPECT_EQ(call_and_wait(*connection, request_with({Value(2)})).values.at(0).integer(), 2);
  EXPECT_EQ(late.count(), 1);
}

const auto name_of_test = [](const auto& test) { return testing::scheme_of(test.param); };
INSTANTIATE_TEST_SUITE_P(Roads, StreamAttack, ::testing::ValuesIn(testing::stream_endpoints("attack")), name_of_test);
INSTANTIATE_TEST_SUITE_P(Roads, StreamStranger, ::testing::ValuesIn(testing::stream_endpoints("stranger")),
                         name_of_test);
INSTANTIATE_TEST_SUITE_P(Roads, StreamCaller, ::testing::ValuesIn(testing::stream_endpoints("caller")), name_of_test);
// All that this transport does is done by who calls.
INSTANTIATE_TEST_SUITE_P(Shaped, StreamCaller, ::testing::Values("shaped://@tcp://127.0.0.1:0"), name_of_test);

}  // namespace
}  // namespace splitnet
