// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/tcp.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "splitnet/testing/transport_tools.hpp"

extern char** environ;

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::echo;
using testing::request_with;

// ---- a peer that speaks bytes ------------------------------------------------------------------

class RawSocket {
 public:
  explicit RawSocket(const std::string& address) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(descriptor_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~RawSocket() { ::close(descriptor_); }
  RawSocket(const RawSocket&) = delete;
  RawSocket& operator=(const RawSocket&) = delete;

  bool connected() const { return connected_; }
  int descriptor() const { return descriptor_; }
  void send(const void* data, std::size_t size) const { (void)!::send(descriptor_, data, size, MSG_NOSIGNAL); }
  void send(const std::string& text) const { send(text.data(), text.size()); }
  void send(const Storage& bytes) const { send(bytes.data(), bytes.size_bytes()); }

  /// Everything until the peer closes; nothing when it has not within the time.
  std::optional<std::string> read_to_end(std::chrono::milliseconds time = 20s) const {
    std::string all;
    const auto until = std::chrono::steady_clock::now() + time;
    for (;;) {
      pollfd waiting{descriptor_, POLLIN, 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) <= 0) return std::nullopt;
      char part[4096];
      const auto got = ::recv(descriptor_, part, sizeof part, 0);
      if (got <= 0) return all;
      all.append(part, static_cast<std::size_t>(got));
    }
  }
  /// Expects one error message and then the end.
  void expect_error(ErrorCode code) const {
    const auto bytes = read_to_end();
    ASSERT_TRUE(bytes) << "the connection stays open";
    ASSERT_GE(bytes->size(), message_header_bytes);
    const auto message = decode(std::as_bytes(std::span(*bytes)));
    EXPECT_EQ(message.kind, MessageKind::error);
    EXPECT_EQ(message.error, code) << message.error_message;
  }

 private:
  int descriptor_;
  bool connected_ = false;
};

class TcpAttack : public ::testing::Test {
 protected:
  void listen(const ListenOptions& options = {}) {
    listener = transport->listen("tcp://127.0.0.1:0", echo, options);
    friendly = transport->connect(listener->address(), {});
    expect_served();
  }
  void TearDown() override { expect_served(); }
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

  std::shared_ptr<Transport> transport = make_tcp_transport();
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> friendly;
};

TEST_F(TcpAttack, SpeaksItsProtocolToItsFriends) {
  listen();
  const RawSocket peer(listener->address());
  peer.send(good_request());
  ::shutdown(peer.descriptor(), SHUT_WR);
  const auto bytes = peer.read_to_end();
  ASSERT_TRUE(bytes);
}

TEST_F(TcpAttack, Garbage) {
  listen();
  const RawSocket peer(listener->address());
  peer.send(std::string(100'000, '\xaa'));
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(TcpAttack, HttpRequestShorterThanAHeader) {
  listen();
  const RawSocket peer(listener->address());
  peer.send("GET / HTTP/1.1\r\n\r\n");
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(TcpAttack, EveryFlippedBitOfTheHeader) {
  listen();
  for (std::size_t bit = 0; bit < message_header_bytes * 8; bit += 5) {
    const RawSocket peer(listener->address());
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

TEST_F(TcpAttack, FlippedBitOfThePayload) {
  listen();
  const RawSocket peer(listener->address());
  const auto bytes = good_request();
  bytes.data()[bytes.size_bytes() - 1] ^= std::byte{1};
  peer.send(bytes);
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(TcpAttack, LengthOf2To63) {
  listen();
  // Whatever field of the header holds the lengths: no value of it may be believed.
  for (std::size_t at = 0; at + 8 <= message_header_bytes; at += 4) {
    const RawSocket peer(listener->address());
    const auto bytes = good_request();
    const std::uint64_t huge = std::uint64_t{1} << 63;
    std::memcpy(bytes.data() + at, &huge, sizeof huge);
    peer.send(bytes.data(), message_header_bytes);
    ::shutdown(peer.descriptor(), SHUT_WR);
    ASSERT_TRUE(peer.read_to_end()) << "offset " << at;
  }
}

TEST_F(TcpAttack, LargerThanTheLimit) {
  ListenOptions options;
  options.limits.max_message_bytes = 100'000;
  listen(options);
  const auto connection = transport->connect(listener->address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({testing::iota_u8(3'000'000)})).error(),
            ErrorCode::too_large);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST_F(TcpAttack, TruncatedThenClosed) {
  listen();
  const auto bytes = good_request();
  for (std::size_t size = 1; size < bytes.size_bytes(); size += 97) {
    const RawSocket peer(listener->address());
    peer.send(bytes.data(), size);
  }
}

TEST_F(TcpAttack, SlowLoris) {
  ListenOptions options;
  options.message_timeout = 150ms;
  listen(options);
  const RawSocket peer(listener->address());
  const auto bytes = good_request();
  for (std::size_t i = 0; i < 8; ++i) {
    peer.send(bytes.data() + i, 1);
    std::this_thread::sleep_for(40ms);
  }
  peer.expect_error(ErrorCode::deadline_exceeded);
}

TEST_F(TcpAttack, HalfAMessageThenSilence) {
  ListenOptions options;
  options.message_timeout = 50ms;
  listen(options);
  const RawSocket in_header(listener->address());
  const RawSocket in_body(listener->address());
  const auto bytes = good_request();
  in_header.send(bytes.data(), 20);
  in_body.send(bytes.data(), bytes.size_bytes() - 1);
  in_header.expect_error(ErrorCode::deadline_exceeded);
  in_body.expect_error(ErrorCode::deadline_exceeded);
}

TEST_F(TcpAttack, IdleConnectionsAreNotSlowMessages) {
  ListenOptions options;
  options.message_timeout = 30ms;
  listen(options);
  std::this_thread::sleep_for(100ms);
  expect_served();
  std::this_thread::sleep_for(100ms);
}

TEST_F(TcpAttack, ReaderThatNeverReads) {
  ListenOptions options;
  options.max_queued_bytes = 4'000'000;
  listen(options);
  const RawSocket peer(listener->address());
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

TEST_F(TcpAttack, ReplyInsteadOfARequest) {
  listen();
  const RawSocket peer(listener->address());
  peer.send(encode(testing::reply_with({})).join());
  peer.expect_error(ErrorCode::corrupt);
}

TEST_F(TcpAttack, MoreConnectionsThanAllowed) {
  ListenOptions options;
  options.max_connections = 3;
  listen(options);
  const RawSocket second(listener->address());
  const RawSocket third(listener->address());
  const RawSocket fourth(listener->address());
  fourth.expect_error(ErrorCode::overloaded);
}

TEST_F(TcpAttack, NoFileDescriptorsLeft) {
  listen();
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  std::vector<std::unique_ptr<RawSocket>> waiting;
  std::vector<int> fill;
  const int probe = ::dup(0);
  ::close(probe);
  rlimit low = old;
  low.rlim_cur = static_cast<rlim_t>(probe) + 20;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  // Sockets of our own until none is left: the last ones stay in the backlog.
  for (int i = 0; i < 20; ++i) waiting.push_back(std::make_unique<RawSocket>(listener->address()));
  for (int d = ::dup(0); d >= 0; d = ::dup(0)) fill.push_back(d);
  std::this_thread::sleep_for(120ms);
  expect_served();
  for (const int d : fill) ::close(d);
  waiting.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  const auto connection = transport->connect(listener->address(), {});
  (void)call_and_wait(*connection, request_with({}), std::chrono::steady_clock::now() + 20s);
}

// ---- a peer that answers badly -----------------------------------------------------------------

/// Accepts one connection and hands it to `behave`.
class BadServer {
 public:
  explicit BadServer(std::function<void(int)> behave) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(descriptor_, 4), 0);
    EXPECT_EQ(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&at), &size), 0);
    address_ = "tcp://127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    thread_ = std::thread([this, behave = std::move(behave)] {
      const int peer = ::accept(descriptor_, nullptr, nullptr);
      behave(peer);
      ::close(peer);
    });
  }
  ~BadServer() {
    thread_.join();
    ::close(descriptor_);
  }
  const std::string& address() const { return address_; }

 private:
  int descriptor_;
  std::string address_;
  std::thread thread_;
};

void read_some(int peer) {
  char request[4096];
  (void)!::recv(peer, request, sizeof request, 0);
}

TEST(TcpCaller, ReportsAnHttpServer) {
  const BadServer server([](int peer) {
    read_some(peer);
    const std::string answer = "HTTP/1.1 400 Bad Request\r\n\r\n";
    (void)!::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
  });
  const auto connection = make_tcp_transport()->connect(server.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
}

TEST(TcpCaller, ReportsADamagedReplyForItsCallOnly) {
  const BadServer server([](int peer) {
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
  const auto connection = make_tcp_transport()->connect(server.address(), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), std::nullopt);
}

TEST(TcpCaller, DropsAnAnswerToNoCall) {
  const BadServer server([](int peer) {
    read_some(peer);
    auto reply = testing::reply_with({});
    for (const std::uint64_t id : {77, 1, 1}) {
      reply.id = id;
      const auto bytes = encode(reply).join();
      (void)!::send(peer, bytes.data(), bytes.size_bytes(), MSG_NOSIGNAL);
    }
    read_some(peer);
  });
  const auto connection = make_tcp_transport()->connect(server.address(), {});
  const auto outcome = testing::start_call(*connection, request_with({}));
  EXPECT_EQ(outcome.error(), std::nullopt);
  EXPECT_EQ(outcome.count(), 1);
}

TEST(TcpCaller, BoundsWhatWaitsForAPeerThatDoesNotRead) {
  std::promise<void> finished;
  const BadServer server([&finished](int) { finished.get_future().wait(); });
  ConnectOptions options;
  options.max_queued_bytes = 30'000'000;
  const auto connection = make_tcp_transport()->connect(server.address(), options);
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

// ---- a peer that is killed ---------------------------------------------------------------------

// Not a test but the process to be killed, which the next test starts: a fork of a process with threads
// can't start threads under TSan.
TEST(TcpPeerProcess, DISABLED_ServesAndNeverAnswers) {
  testing::Held held;
  const auto listener = make_tcp_transport()->listen("tcp://127.0.0.1:0", held.handler(), {});
  std::printf("\n%s\n", listener->address().c_str());
  std::fflush(stdout);
  std::this_thread::sleep_for(60s);  // Ends even when the test that started it does not kill it.
}

TEST(TcpCaller, EndsCallsWhenThePeerProcessIsKilled) {
  int answer[2];
  ASSERT_EQ(::pipe(answer), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, answer[1], 1);
  char program[] = "/proc/self/exe";
  char filter[] = "--gtest_filter=TcpPeerProcess.*";
  char disabled[] = "--gtest_also_run_disabled_tests";
  char* arguments[] = {program, filter, disabled, nullptr};
  pid_t child = 0;
  ASSERT_EQ(::posix_spawn(&child, program, &actions, nullptr, arguments, environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(answer[1]);
  std::string address;
  for (char c = 0; ::read(answer[0], &c, 1) == 1;) {
    if (c != '\n') {
      address += c;
    } else if (address.starts_with("tcp://")) {
      break;
    } else {
      address.clear();  // GoogleTest's own words.
    }
  }
  ASSERT_TRUE(address.starts_with("tcp://")) << address;
  const auto connection = make_tcp_transport()->connect(address, {});
  const auto outcome = testing::start_call(*connection, request_with({testing::iota_u8(1'000'000)}));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(outcome.count(), 0);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  EXPECT_EQ(outcome.error(), ErrorCode::unavailable);
  EXPECT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(answer[0]);
  EXPECT_EQ(testing::code_of([&] { (void)make_tcp_transport()->connect(address, {}); }), ErrorCode::unavailable);
}

// ---- endpoints ---------------------------------------------------------------------------------

TEST(TcpEndpoint, RefusesAddressesThatOtherMachinesReach) {
  for (const std::string endpoint : {"tcp://0.0.0.0:0", "tcp://[::]:0"}) {
    try {
      (void)make_tcp_transport()->listen(endpoint, echo, {});
      FAIL() << "listens on " << endpoint;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(error.what()).find(endpoint), std::string::npos) << error.what();
    }
  }
  ListenOptions options;
  options.allow_remote = true;
  EXPECT_NO_THROW((void)make_tcp_transport()->listen("tcp://0.0.0.0:0", echo, options));
}

TEST(TcpEndpoint, RefusesWhatIsNotAnEndpoint) {
  for (const std::string endpoint :
       {"tcp://", "tcp://host", "tcp://:1", "tcp://host:", "tcp://host:65536", "tcp://host:-1", "tcp://host:1x",
        "tcp://::1:80", "tcp://a/b:80", "http://host:80"}) {
    EXPECT_EQ(testing::code_of([&] { (void)make_tcp_transport()->connect(endpoint, {}); }), ErrorCode::invalid_argument)
        << endpoint;
  }
}

TEST(TcpEndpoint, ReportsAnUnknownHost) {
  EXPECT_EQ(testing::code_of([] { (void)make_tcp_transport()->connect("tcp://no-such-host.invalid:1", {}); }),
            ErrorCode::unavailable);
}

TEST(TcpEndpoint, AcceptsNamesAndIpv6) {
  for (const std::string endpoint : {"tcp://localhost:0", "tcp://[::1]:0"}) {
    std::unique_ptr<Listener> listener;
    try {
      listener = make_tcp_transport()->listen(endpoint, echo, {});
    } catch (const Error& error) {
      if (endpoint.find("::1") != std::string::npos) GTEST_SKIP() << "no IPv6 here: " << error.what();
      throw;
    }
    const auto connection = make_tcp_transport()->connect(listener->address(), {});
    (void)call_and_wait(*connection, request_with({}));
  }
}

}  // namespace
}  // namespace splitnet
