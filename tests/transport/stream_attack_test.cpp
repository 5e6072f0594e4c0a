// SPDX-License-Identifier: Apache-2.0
// What is done to the transports over stream sockets: FAULTS 1, 7, 8, 11, 20, 23 to 25, and bad answers.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "raw_peer.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "splitnet/transport_registry.hpp"

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
    listener = transports.listen(GetParam(), echo, options);
    friendly = transports.connect(listener->address(), {});
    expect_served();
  }
  void TearDown() override {
    if (listener) expect_served();
  }
  static std::string other_endpoint() { return GetParam().starts_with("unix") ? GetParam() + "_other" : GetParam(); }
  void expect_served() const {
    EXPECT_EQ(call_and_wait(*friendly, request_with({Value(5)}), std::chrono::steady_clock::now() + 20s)
                  .values.at(0)
                  .integer(),
              5);
  }

  static Storage good_request() {
    auto request = request_with({testing::iota_u8(1000)});
    request.id = 9;
    return encode(request).join();
  }

  TransportRegistry transports = TransportRegistry::with_defaults();
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> friendly;
};

TEST_P(StreamAttack, SpeaksItsProtocolToItsFriends) {
  listen();
  const RawPeer peer(listener->address());
  peer.send(good_request());
  ::shutdown(peer.descriptor(), SHUT_WR);
  const auto bytes = peer.read_to_end();
  ASSERT_TRUE(bytes);
}

TEST_P(StreamAttack, Garbage) {
  listen();
  const RawPeer peer(listener->address());
  peer.send(std::string(100'000, '\xaa'));
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, HttpRequestShorterThanAHeader) {
  listen();
  const RawPeer peer(listener->address());
  peer.send("GET / HTTP/1.1\r\n\r\n");
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, EveryFlippedBitOfTheHeader) {
  listen();
  for (std::size_t bit = 0; bit < message_header_bytes * 8; bit += 5) {
    const RawPeer peer(listener->address());
    const auto bytes = good_request();
    bytes.data()[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    peer.send(bytes);
    ::shutdown(peer.descriptor(), SHUT_WR);
    const auto answer = peer.read_to_end();
    ASSERT_TRUE(answer) << "bit " << bit;
    ASSERT_FALSE(answer->empty()) << "bit " << bit;
    EXPECT_EQ(decode(std::as_bytes(std::span(*answer))).kind, MessageKind::error) << "bit " << bit;
  }
}

TEST_P(StreamAttack, FlippedBitOfThePayload) {
  listen();
  const RawPeer peer(listener->address());
  const auto bytes = good_request();
  bytes.data()[bytes.size_bytes() - 1] ^= std::byte{1};
  peer.send(bytes);
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, LengthOf2To63) {
  listen();
  // Whatever field of the header holds the lengths: no value of it may be believed.
  for (std::size_t at = 0; at + 8 <= message_header_bytes; at += 4) {
    const RawPeer peer(listener->address());
    const auto bytes = good_request();
    const std::uint64_t huge = std::uint64_t{1} << 63;
    std::memcpy(bytes.data() + at, &huge, sizeof huge);
    peer.send(bytes.data(), message_header_bytes);
    ::shutdown(peer.descriptor(), SHUT_WR);
    ASSERT_TRUE(peer.read_to_end()) << "offset " << at;
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

TEST_P(StreamAttack, TruncatedThenClosed) {
  listen();
  const auto bytes = good_request();
  for (std::size_t size = 1; size < bytes.size_bytes(); size += 97) {
    const RawPeer peer(listener->address());
    peer.send(bytes.data(), size);
  }
}

TEST_P(StreamAttack, SlowLoris) {
  ListenOptions options;
  options.message_timeout = 150ms;
  listen(options);
  const RawPeer peer(listener->address());
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
  const RawPeer in_header(listener->address());
  const RawPeer in_body(listener->address());
  const auto bytes = good_request();
  in_header.send(bytes.data(), 20);
  in_body.send(bytes.data(), bytes.size_bytes() - 1);
  in_header.expect_error(ErrorCode::deadline_exceeded);
  in_body.expect_error(ErrorCode::deadline_exceeded);
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
  const RawPeer peer(listener->address());
  ASSERT_EQ(::fcntl(peer.descriptor(), F_SETFL, O_NONBLOCK), 0);
  auto request = request_with({testing::iota_u8(500'000)});
  bool closed = false;
  const auto until = std::chrono::steady_clock::now() + 20s;
  // Sends whole requests and reads nothing until the listener has had enough.
  for (std::uint64_t id = 1; !closed && std::chrono::steady_clock::now() < until; ++id) {
    request.id = id;
    const auto bytes = encode(request).join();
    for (std::size_t sent = 0; sent < bytes.size_bytes() && !closed && std::chrono::steady_clock::now() < until;) {
      const auto n = ::send(peer.descriptor(), bytes.data() + sent, bytes.size_bytes() - sent, MSG_NOSIGNAL);
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

/// FAULTS 26: one budget for all.
TEST_P(StreamAttack, ManyLargeRequestsAtOnce) {
  ListenOptions options;
  options.max_received_bytes = 3'500'000;
  testing::Held held;
  const auto full = transports.listen(other_endpoint(), held.handler(), options);
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<testing::Outcome> outcomes;
  for (int i = 0; i < 8; ++i) {
    connections.push_back(transports.connect(full->address()));
    outcomes.push_back(testing::start_call(*connections.back(), request_with({testing::iota_u8(1'000'000)})));
  }
  ASSERT_TRUE(held.wait_for(3));
  EXPECT_FALSE(held.wait_for(4, 50ms));
  auto items = held.take();
  for (auto& item : items) {
    item.respond(testing::reply_with({}));
    item.request = {};
  }
  int good = 0;
  for (const auto& outcome : outcomes) {
    const auto error = outcome.error();
    EXPECT_TRUE(!error || error == ErrorCode::overloaded);
    good += error ? 0 : 1;
  }
  EXPECT_EQ(good, 3);
  // The refused ones still have their connections, and there is room again.
  for (const auto& connection : connections) {
    const auto outcome = testing::start_call(*connection, request_with({testing::iota_u8(1'000'000)}));
    ASSERT_TRUE(held.wait_for(1));
    for (auto& item : held.take()) item.respond(testing::reply_with({}));
    EXPECT_EQ(outcome.error(), std::nullopt);
  }
}

/// FAULTS 22 and 32.
TEST_P(StreamAttack, RequestsThatComeTwice) {
  testing::Held held;
  const auto holding = transports.listen(other_endpoint(), held.handler(), {});
  const RawPeer peer(holding->address());
  const auto bytes = good_request();
  peer.send(bytes);
  peer.send(bytes);
  ASSERT_TRUE(held.wait_for(1));
  EXPECT_FALSE(held.wait_for(2, 50ms)) << "one id is one call while it is under way";
  for (auto& item : held.take()) {
    item.respond(testing::reply_with({Value(1)}));
    item.respond(testing::reply_with({Value(2)}));
  }
  const RawPeer again(holding->address());  // What was recorded elsewhere is a request like any other.
  again.send(bytes);
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(testing::reply_with({}));
  ::shutdown(peer.descriptor(), SHUT_WR);
  const auto answers = peer.read_to_end();
  ASSERT_TRUE(answers);
  Message one = testing::reply_with({Value(1)});
  one.id = 9;
  EXPECT_EQ(answers->size(), encode(one).size_bytes);
}

TEST_P(StreamAttack, ReplyInsteadOfARequest) {
  listen();
  const RawPeer peer(listener->address());
  peer.send(encode(testing::reply_with({})).join());
  peer.expect_error(ErrorCode::corrupt);
}

TEST_P(StreamAttack, MoreConnectionsThanAllowed) {
  ListenOptions options;
  options.max_connections = 3;
  listen(options);
  const RawPeer second(listener->address());
  const RawPeer third(listener->address());
  const RawPeer fourth(listener->address());
  fourth.expect_error(ErrorCode::overloaded);
}

TEST_P(StreamAttack, NoFileDescriptorsLeft) {
  listen();
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  std::vector<std::unique_ptr<RawPeer>> waiting;
  std::vector<int> fill;
  const int probe = ::dup(0);
  ::close(probe);
  rlimit low = old;
  low.rlim_cur = static_cast<rlim_t>(probe) + 20;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  // Sockets of our own until none is left: the last ones stay in the backlog.
  for (int i = 0; i < 20; ++i) waiting.push_back(std::make_unique<RawPeer>(listener->address()));
  for (int d = ::dup(0); d >= 0; d = ::dup(0)) fill.push_back(d);
  std::this_thread::sleep_for(120ms);
  expect_served();
  for (const int d : fill) ::close(d);
  waiting.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  const auto connection = transports.connect(listener->address(), {});
  (void)call_and_wait(*connection, request_with({}), std::chrono::steady_clock::now() + 20s);
}

// ---- nothing stays behind ----------------------------------------------------------------------

std::ptrdiff_t entries_of(const char* folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

/// No thread and no descriptor.
TEST_P(StreamAttack, TenThousandConnectsAndCloses) {
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  listen(options);
  const auto threads = entries_of("/proc/self/task");
  const auto descriptors = entries_of("/proc/self/fd");
#if defined(__SANITIZE_THREAD__)
  constexpr int rounds = 1'000;  // Each thread costs a millisecond there.
#else
  constexpr int rounds = 10'000;
#endif
  for (int i = 0; i < rounds; ++i) {
    auto connection = transports.connect(listener->address());
    if (i % 100 == 0) (void)call_and_wait(*connection, request_with({}));
    if (i % 2 == 0) connection->close();
  }
  // The listener notices the last ones a moment later.
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (entries_of("/proc/self/fd") > descriptors && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(entries_of("/proc/self/fd"), descriptors);
  EXPECT_EQ(entries_of("/proc/self/task"), threads);
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
  const RawPeer peer(listener->address());
  peer.send(request_with({}));
  peer.expect_error(ErrorCode::unauthenticated);
}

TEST_P(StreamStranger, ShowsAWrongOne) {
  listen();
  for (const std::string& token : {std::string(), right_token + "x", right_token.substr(1), std::string(3000, 'x')}) {
    const RawPeer peer(listener->address());
    peer.send(hello(token));
    peer.expect_error(ErrorCode::unauthenticated);
  }
  const RawPeer peer(listener->address());
  auto two = hello(right_token);
  two.values.emplace_back(right_token);
  peer.send(two);
  peer.expect_error(ErrorCode::unauthenticated);
}

/// Little memory is taken for somebody unknown.
TEST_P(StreamStranger, SendsALargeRequestFirst) {
  listen();
  const RawPeer peer(listener->address());
  auto bytes = encode(request_with({testing::iota_u8(1'000'000)})).join();
  peer.send(bytes.data(), message_header_bytes);
  peer.expect_error(ErrorCode::unauthenticated);
}

TEST_P(StreamStranger, SaysNothing) {
  ListenOptions options;
  options.handshake_timeout = 50ms;
  listen(options);
  const RawPeer peer(listener->address());
  peer.expect_error(ErrorCode::deadline_exceeded);
  expect_served();  // Who has shown his token may be silent.
}

TEST_P(StreamStranger, ShowsItsTokenSlowly) {
  ListenOptions options;
  options.handshake_timeout = 100ms;
  listen(options);
  const RawPeer peer(listener->address());
  const auto bytes = encode(hello(right_token)).join();
  for (std::size_t i = 0; i < 8; ++i) {
    peer.send(bytes.data() + i, 1);
    std::this_thread::sleep_for(20ms);
  }
  peer.expect_error(ErrorCode::deadline_exceeded);
}

// ---- a peer that answers badly -----------------------------------------------------------------

class StreamCaller : public ::testing::TestWithParam<std::string> {};

void read_some(int peer) {
  char request[4096];
  (void)!::recv(peer, request, sizeof request, 0);
}

TEST_P(StreamCaller, ReportsAnHttpServer) {
  const BadServer server(GetParam(), [](int peer) {
    read_some(peer);
    const std::string answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
    (void)!::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
  });
  const auto connection = TransportRegistry::with_defaults().connect(server.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST_P(StreamCaller, ReportsADamagedReplyForItsCallOnly) {
  const BadServer server(GetParam(), [](int peer) {
    read_some(peer);
    auto reply = testing::reply_with({testing::iota_u8(100)});
    reply.id = 1;
    auto bytes = encode(reply).join();
    bytes.data()[bytes.size_bytes() - 1] ^= std::byte{4};
    (void)!::send(peer, bytes.data(), bytes.size_bytes(), MSG_NOSIGNAL);
    read_some(peer);
    reply.id = 2;
    bytes = encode(reply).join();
    (void)!::send(peer, bytes.data(), bytes.size_bytes(), MSG_NOSIGNAL);
    read_some(peer);
  });
  const auto connection = TransportRegistry::with_defaults().connect(server.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), std::nullopt);
}

TEST_P(StreamCaller, DropsAnAnswerToNoCall) {
  const BadServer server(GetParam(), [](int peer) {
    read_some(peer);
    auto reply = testing::reply_with({});
    for (const std::uint64_t id : {77, 1, 1}) {
      reply.id = id;
      const auto bytes = encode(reply).join();
      (void)!::send(peer, bytes.data(), bytes.size_bytes(), MSG_NOSIGNAL);
    }
    read_some(peer);
  });
  const auto connection = TransportRegistry::with_defaults().connect(server.address(), {});
  const auto outcome = testing::start_call(*connection, request_with({}));
  EXPECT_EQ(outcome.error(), std::nullopt);
  EXPECT_EQ(outcome.count(), 1);
}

TEST_P(StreamCaller, BoundsWhatWaitsForAPeerThatDoesNotRead) {
  std::promise<void> finished;
  const BadServer server(GetParam(), [&finished](int) { finished.get_future().wait(); });
  ConnectOptions options;
  options.max_queued_bytes = 30'000'000;
  const auto connection = TransportRegistry::with_defaults().connect(server.address(), options);
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

constexpr const char* endpoint_variable = "SPLITNET_TEST_ENDPOINT";

// Not a test but the process of the next tests: a fork of a process with threads can't start threads under TSan.
TEST(StreamPeerProcess, DISABLED_AnswersWhatHasValues) {
  std::vector<Responder> never;
  const auto listener = TransportRegistry::with_defaults().listen(
      std::getenv(endpoint_variable), [&never](Message request, const CallContext& context, const Responder& respond) {
        if (!request.values.empty()) return echo(std::move(request), context, respond);
        never.push_back(respond);
      });
  std::printf("\n%s\n", listener->address().c_str());
  std::fflush(stdout);
  std::this_thread::sleep_for(60s);  // Ends even when the test that started it does not kill it.
}

class PeerProcess {
 public:
  explicit PeerProcess(const std::string& endpoint) {
    int answer[2];
    EXPECT_EQ(::pipe2(answer, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, answer[1], 1);
    char program[] = "/proc/self/exe";
    char filter[] = "--gtest_filter=StreamPeerProcess.*";
    char disabled[] = "--gtest_also_run_disabled_tests";
    char* arguments[] = {program, filter, disabled, nullptr};
    EXPECT_EQ(::setenv(endpoint_variable, endpoint.c_str(), 1), 0);
    EXPECT_EQ(::posix_spawn(&child_, program, &actions, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(answer[1]);
    for (char c = 0; ::read(answer[0], &c, 1) == 1;) {
      if (c != '\n') {
        address_ += c;
      } else if (address_.find("://") != std::string::npos) {
        break;
      } else {
        address_.clear();  // GoogleTest's own words.
      }
    }
    ::close(answer[0]);
  }
  ~PeerProcess() {
    signal(SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  const std::string& address() const { return address_; }
  void signal(int number) const { EXPECT_EQ(::kill(child_, number), 0); }
  /// Returns when it has: a signal alone leaves its threads some time.
  void stop() const {
    signal(SIGSTOP);
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, WUNTRACED), child_);
    EXPECT_TRUE(WIFSTOPPED(status));
  }

 private:
  pid_t child_ = 0;
  std::string address_;
};

TEST_P(StreamCaller, EndsCallsWhenThePeerProcessIsKilled) {
  std::string address;
  std::unique_ptr<Connection> connection;
  std::optional<testing::Outcome> outcome;
  {
    const PeerProcess peer(GetParam());
    address = peer.address();
    connection = TransportRegistry::with_defaults().connect(address);
    outcome = testing::start_call(*connection, request_with({}));
    std::this_thread::sleep_for(20ms);
    EXPECT_EQ(outcome->count(), 0);
  }
  EXPECT_EQ(outcome->error(), ErrorCode::unavailable);
  EXPECT_EQ(testing::code_of([&] { (void)TransportRegistry::with_defaults().connect(address); }),
            ErrorCode::unavailable);
}

/// FAULTS 29: its kernel still takes what is sent.
TEST_P(StreamCaller, DropsLateAnswersOfAPeerProcessThatWasStopped) {
  const PeerProcess peer(GetParam());
  const auto connection = TransportRegistry::with_defaults().connect(peer.address());
  (void)call_and_wait(*connection, request_with({Value(0)}));
  peer.stop();
  const auto late =
      testing::start_call(*connection, request_with({Value(1)}), std::chrono::steady_clock::now() + 100ms);
  EXPECT_EQ(late.error(), ErrorCode::deadline_exceeded);
  peer.signal(SIGCONT);
  EXPECT_EQ(call_and_wait(*connection, request_with({Value(2)})).values.at(0).integer(), 2);
  EXPECT_EQ(late.count(), 1);
}

const std::string socket_name = "unix://@splitnet_attack_" + std::to_string(::getpid());
INSTANTIATE_TEST_SUITE_P(Tcp, StreamAttack, ::testing::Values("tcp://127.0.0.1:0"));
INSTANTIATE_TEST_SUITE_P(Unix, StreamAttack, ::testing::Values(socket_name));
INSTANTIATE_TEST_SUITE_P(Tcp, StreamStranger, ::testing::Values("tcp://127.0.0.1:0"));
INSTANTIATE_TEST_SUITE_P(Unix, StreamStranger, ::testing::Values(socket_name));
INSTANTIATE_TEST_SUITE_P(Tcp, StreamCaller, ::testing::Values("tcp://127.0.0.1:0"));
INSTANTIATE_TEST_SUITE_P(Unix, StreamCaller, ::testing::Values(socket_name));

}  // namespace
}  // namespace splitnet
