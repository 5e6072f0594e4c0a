// SPDX-License-Identifier: Apache-2.0
// What is done to http: FAULTS 1, 7, 8, 11, 20, 23 to 26, and what HTTP adds.
#include <fcntl.h>

#include "descriptors.hpp"
#include "http_raw.hpp"
#include "splitnet/transport/http.hpp"
#include "splitnet/transport/tcp.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::chunked_post;
using testing::echo;
using testing::expect_refusal;
using testing::good_message;
using testing::post;
using testing::RawPeer;
using testing::read_responses;
using testing::request_with;
using testing::responses_in;

class HttpAttack : public ::testing::Test {
 protected:
  void listen(const ListenOptions& options = {}, Handler handler = echo) {
    listener = transport->listen("http://127.0.0.1:0", std::move(handler), options);
    ConnectOptions with_token;
    with_token.token = options.token;
    friendly = transport->connect(listener->address(), with_token);
    if (!options.token.empty()) expect_served();
  }
  void TearDown() override {
    if (friendly) expect_served();
  }
  void expect_served() const {
    const auto until = std::chrono::steady_clock::now() + 20s;
    EXPECT_EQ(call_and_wait(*friendly, request_with({Value(5)}), until).values.at(0).integer(), 5);
  }
  /// What is said to these bytes, whole: nothing when the connection stays open.
  std::optional<std::string> said_to(const std::string& bytes) const {
    const RawPeer peer(listener->address());
    peer.send(bytes);
    ::shutdown(peer.descriptor(), SHUT_WR);
    return peer.read_to_end();
  }

  std::shared_ptr<Transport> transport = make_http_transport();
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> friendly;
};

// ---- what is not HTTP --------------------------------------------------------------------------

TEST_F(HttpAttack, Garbage) {
  listen();
  const RawPeer peer(listener->address());
  peer.send(std::string(100'000, '\xaa'));
  expect_refusal(peer, 400, ErrorCode::corrupt);
}

TEST_F(HttpAttack, AMessageWithoutHttp) {
  listen();
  const RawPeer peer(listener->address());
  peer.send(good_message());
  expect_refusal(peer, 400, ErrorCode::corrupt);
}

TEST_F(HttpAttack, SplitnetOverTcp) {
  listen();
  const auto tcp = make_tcp_transport()->connect("tcp" + listener->address().substr(4), {});
  EXPECT_EQ(testing::start_call(*tcp, request_with({})).error(), ErrorCode::corrupt);
}

TEST_F(HttpAttack, HttpToTheTcpPort) {
  const auto tcp = make_tcp_transport()->listen("tcp://127.0.0.1:0", echo, {});
  const auto connection = transport->connect("http" + tcp->address().substr(3), {});
  EXPECT_EQ(testing::start_call(*connection, request_with({})).error(), ErrorCode::corrupt);
}

TEST_F(HttpAttack, HeadsThatAreNone) {
  listen();
  for (const std::string head :
       {"POST\r\n\r\n", "POST / HTTP/2.0\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\nHost: a\n\n", "\r\n\r\n\r\n\r\n",
        "POST / HTTP/1.1\r\nHost : a\r\nContent-Length: 5\r\n\r\n", "POST / HTTP/1.1\r\nBad\x01Name: a\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 70\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03..........................."}) {
    const auto said = said_to(head);
    ASSERT_TRUE(said) << head;
    for (const auto& response : responses_in(*said)) EXPECT_EQ(response.status, 400) << head;
  }
}

TEST_F(HttpAttack, EndlessHeadLine) {
  listen();
  const RawPeer peer(listener->address());
  peer.send("POST /" + std::string(50'000, 'a'));
  expect_refusal(peer, 431, ErrorCode::too_large);
}

TEST_F(HttpAttack, EndlessFields) {
  listen();
  const RawPeer one_field(listener->address());
  one_field.send("POST / HTTP/1.1\r\nHost: a\r\nX: " + std::string(50'000, 'a'));
  expect_refusal(one_field, 431, ErrorCode::too_large);
  const RawPeer many_fields(listener->address());
  std::string fields;
  for (int i = 0; i < 5'000; ++i) fields += "X" + std::to_string(i) + ": a\r\n";
  many_fields.send("POST / HTTP/1.1\r\nHost: a\r\n" + fields);
  expect_refusal(many_fields, 431, ErrorCode::too_large);
}

// ---- framing -----------------------------------------------------------------------------------

TEST_F(HttpAttack, HugeContentLength) {
  ListenOptions options;
  options.limits.max_message_bytes = 1'000'000;
  listen(options);
  for (const std::string length : {"1000001", "9223372036854775807", "18446744073709551615"}) {
    const RawPeer peer(listener->address());
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + "\r\n\r\n");
    expect_refusal(peer, 413, ErrorCode::too_large);
  }
}

TEST_F(HttpAttack, LengthsThatAreNoNumbers) {
  listen();
  for (const std::string length : {"18446744073709551616", "-1", "+5", "0x10", "1e3", "", "5 5", "5, 6"}) {
    const RawPeer peer(listener->address());
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + "\r\n\r\n" + good_message());
    expect_refusal(peer, 400, ErrorCode::corrupt);
  }
}

/// Request smuggling: what a proxy could have read in another way.
TEST_F(HttpAttack, TwoFramings) {
  listen();
  const std::string body = good_message();
  const std::string length = "Content-Length: " + std::to_string(body.size()) + "\r\n";
  for (const std::string& fields :
       {length + "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n" + length, length + length,
        length + "Content-Length: 7\r\n", length + "Transfer-Encoding: identity\r\n",
        std::string("Transfer-Encoding: chunked, identity\r\n"), std::string("Transfer-Encoding: gzip, chunked\r\n"),
        std::string("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        std::string("Transfer-Encoding: xchunked\r\n")}) {
    const RawPeer peer(listener->address());
    peer.send("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body);
    expect_refusal(peer, 400, ErrorCode::corrupt);
  }
  const RawPeer old(listener->address());
  old.send("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  expect_refusal(old, 400, ErrorCode::corrupt);
}

TEST_F(HttpAttack, ContentLengthOfAnotherMessage) {
  listen();
  const std::string body = good_message();
  for (const auto length :
       {std::size_t{0}, std::size_t{1}, std::size_t{63}, body.size() - 1, body.size() + 1, body.size() + 100'000}) {
    const RawPeer peer(listener->address());
    peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n" + body);
    expect_refusal(peer, 400, ErrorCode::corrupt);
  }
}

TEST_F(HttpAttack, MalformedChunks) {
  listen();
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string body = good_message();
  char size[32];
  (void)std::snprintf(size, sizeof size, "%zx", body.size());
  for (const std::string& chunks :
       {std::string("\r\n"), std::string("x\r\n"), std::string("-1\r\n"), std::string(" 5\r\nhello\r\n"),
        std::string("0x5\r\nhello\r\n"), std::string("10000000000000000\r\n"), std::string("ffffffffffffffffff\r\n"),
        std::string(size) + "\n" + body, std::string(size) + "\r\n" + body + "xx0\r\n\r\n",
        std::string(size) + "\r\n" + body + "\r\n1\r\nx\r\n0\r\n\r\n", std::string("5\r\nhello\r\n0\r\n\r\n"),
        std::string("0\r\n\r\n"), std::string(size) + ";" + std::string(100'000, 'a'),
        std::string(size) + "\r\n" + body + "\r\n0\r\nX: " + std::string(100'000, 'a'),
        std::string(size) + ";\x01\r\n" + body + "\r\n0\r\n\r\n"}) {
    const RawPeer peer(listener->address());
    peer.send(head + chunks);
    expect_refusal(peer, 400, ErrorCode::corrupt);
  }
}

TEST_F(HttpAttack, ChunksOfMoreThanTheLimit) {
  ListenOptions options;
  options.limits.max_message_bytes = 100'000;
  listen(options);
  const RawPeer peer(listener->address());
  peer.send(chunked_post(good_message(9, {testing::iota_u8(200'000)}), 50'000));
  expect_refusal(peer, 413, ErrorCode::too_large);
}

TEST_F(HttpAttack, BodiesThatAreNoMessage) {
  listen();
  for (const std::string body : {"{\"inputs\": [[1, 2, 3]]}", "<html></html>"}) {
    const RawPeer peer(listener->address());
    peer.send(post(body + std::string(200, ' ')));
    expect_refusal(peer, 400, ErrorCode::corrupt);
  }
  for (const auto kind : {MessageKind::reply, MessageKind::cancel}) {
    Message message;
    message.kind = kind;
    const RawPeer peer(listener->address());
    peer.send(post(testing::bytes_of(message)));
    const auto responses = read_responses(peer, 1);
    ASSERT_EQ(responses.size(), 1U);
    EXPECT_EQ(responses[0].status, 400);
    EXPECT_EQ(responses[0].message().error, ErrorCode::corrupt);
  }
}

// ---- damage ------------------------------------------------------------------------------------

TEST_F(HttpAttack, TruncatedAtEveryByte) {
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  listen(options);
  for (const auto& bytes :
       {post(good_message(9, {testing::iota_u8(100)})), chunked_post(good_message(9, {testing::iota_u8(100)}), 100)}) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto said = said_to(bytes.substr(0, size));
      ASSERT_TRUE(said) << size;
      for (const auto& response : responses_in(*said)) EXPECT_NE(response.status, 200) << size;
    }
  }
}

/// Of the head and of the header of the message.
TEST_F(HttpAttack, EveryFlippedBit) {
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  options.max_wrong_tokens_per_s = 1e6;
  listen(options);
  const auto good = post(good_message());
  const auto end = good.find("\r\n\r\n") + 4 + message_header_bytes;
  for (std::size_t bit = 0; bit < end * 8; bit += 3) {
    auto bytes = good;
    bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ (1U << (bit % 8)));
    const auto said = said_to(bytes);
    ASSERT_TRUE(said) << "bit " << bit;
    if (bit / 8 < end - message_header_bytes) continue;  // A letter of a field that nobody looks at changes nothing.
    for (const auto& response : responses_in(*said)) EXPECT_NE(response.status, 200) << "bit " << bit;
  }
}

TEST_F(HttpAttack, FlippedBitOfThePayload) {
  listen();
  auto body = good_message();
  body.back() = static_cast<char>(body.back() ^ 1);
  const RawPeer peer(listener->address());
  peer.send(post(body) + post(good_message(10)));
  const auto responses = read_responses(peer, 2);  // HTTP says where the next request begins.
  ASSERT_EQ(responses.size(), 2U);
  EXPECT_EQ(responses[0].status, 400);
  EXPECT_EQ(responses[0].message().error, ErrorCode::corrupt);
  EXPECT_EQ(responses[1].status, 200);
}

// ---- time --------------------------------------------------------------------------------------

TEST_F(HttpAttack, SlowHead) {
  ListenOptions options;
  options.handshake_timeout = 150ms;
  listen(options);
  const RawPeer peer(listener->address());
  for (const char c : std::string("POST / H")) {
    peer.send(&c, 1);
    std::this_thread::sleep_for(40ms);
  }
  expect_refusal(peer, 408, ErrorCode::deadline_exceeded);
}

TEST_F(HttpAttack, SlowHeadOfALaterRequest) {
  ListenOptions options;
  options.handshake_timeout = 100ms;
  listen(options);
  const RawPeer peer(listener->address());
  peer.send(post(good_message()));
  ASSERT_EQ(read_responses(peer, 1).size(), 1U);
  std::this_thread::sleep_for(200ms);  // Who has been served may be silent.
  peer.send("POST / HTTP/1.1\r\n");
  expect_refusal(peer, 408, ErrorCode::deadline_exceeded);
}

TEST_F(HttpAttack, SlowBody) {
  ListenOptions options;
  options.message_timeout = 100ms;
  listen(options);
  const auto bytes = post(good_message());
  const auto chunks = chunked_post(good_message(), 100);
  const RawPeer in_body(listener->address());
  in_body.send(bytes.substr(0, bytes.size() - 1));
  const RawPeer in_header(listener->address());
  in_header.send(bytes.substr(0, bytes.find("\r\n\r\n") + 30));
  const RawPeer in_chunks(listener->address());
  in_chunks.send(chunks.substr(0, chunks.size() - 2));
  for (const auto* peer : {&in_body, &in_header, &in_chunks}) {
    expect_refusal(*peer, 408, ErrorCode::deadline_exceeded);
  }
}

TEST_F(HttpAttack, SaysNothing) {
  ListenOptions options;
  options.handshake_timeout = 50ms;
  listen(options);
  const RawPeer peer(listener->address());
  EXPECT_EQ(peer.read_to_end(), "") << "an answer to nothing could be taken for that of a request on its way";
}

TEST_F(HttpAttack, ReaderThatNeverReads) {
  ListenOptions options;
  options.message_timeout = 200ms;
  options.max_connections = 1;
  testing::Held held;
  const auto holding = transport->listen("http://127.0.0.1:0", held.handler(), options);
  const RawPeer peer(holding->address());
  peer.send(post(good_message()));
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(testing::reply_with({testing::iota_u8(50'000'000)}));
  const auto until = std::chrono::steady_clock::now() + 20s;
  int status = 503;  // There is room for somebody else when the peer has been closed.
  while (status == 503 && std::chrono::steady_clock::now() < until) {
    const RawPeer other(holding->address());
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const auto said = other.read_to_end();
    ASSERT_TRUE(said);
    status = responses_in(*said).at(0).status;
  }
  EXPECT_EQ(status, 405);
  const auto said = peer.read_to_end();
  ASSERT_TRUE(said);
  EXPECT_LT(said->size(), 50'000'000U);
}

// ---- room --------------------------------------------------------------------------------------

TEST_F(HttpAttack, ManyLargeRequestsAtOnce) {
  ListenOptions options;
  options.max_received_bytes = 3'500'000;
  testing::Held held;
  const auto full = transport->listen("http://127.0.0.1:0", held.handler(), options);
  const auto connection = transport->connect(full->address(), {});
  std::vector<testing::Outcome> outcomes;
  for (int i = 0; i < 8; ++i) {
    outcomes.push_back(testing::start_call(*connection, request_with({testing::iota_u8(1'000'000)})));
  }
  ASSERT_TRUE(held.wait_for(3));
  EXPECT_FALSE(held.wait_for(4, 50ms));
  for (auto& item : held.take()) {
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
  const auto outcome = testing::start_call(*connection, request_with({testing::iota_u8(1'000'000)}));
  ASSERT_TRUE(held.wait_for(1));
  for (auto& item : held.take()) item.respond(testing::reply_with({}));
  EXPECT_EQ(outcome.error(), std::nullopt);
}

TEST_F(HttpAttack, MoreConnectionsThanAllowed) {
  ListenOptions options;
  options.max_connections = 3;
  listen(options);
  const RawPeer second(listener->address());
  const RawPeer third(listener->address());
  const RawPeer fourth(listener->address());
  fourth.send(post(good_message()));
  const auto said = fourth.read_to_end();
  ASSERT_TRUE(said);
  ASSERT_EQ(responses_in(*said).size(), 1U);
  EXPECT_EQ(responses_in(*said)[0].status, 503);
  EXPECT_TRUE(responses_in(*said)[0].has("Retry-After: "));
}

TEST_F(HttpAttack, NoFileDescriptorsLeft) {
  listen();
  expect_served();
  {
    testing::FewDescriptors few;
    std::vector<std::unique_ptr<RawPeer>> waiting;
    for (int i = 0; i < 20; ++i) waiting.push_back(std::make_unique<RawPeer>(listener->address()));
    few.fill();
    std::this_thread::sleep_for(120ms);
    expect_served();
  }
  const auto connection = transport->connect(listener->address(), {});
  (void)call_and_wait(*connection, request_with({}), std::chrono::steady_clock::now() + 20s);
}

/// Neither threads nor descriptors stay behind.
TEST_F(HttpAttack, ManyConnectsAndCloses) {
  ListenOptions options;
  options.max_connects_per_s = 1e6;
  listen(options);
  expect_served();
  const testing::NothingLeftBehind nothing;
  for (int i = 0; i < 1'000; ++i) {
    auto connection = transport->connect(listener->address(), {});
    if (i % 10 == 0) (void)testing::start_call(*connection, request_with({Value(i)}));
    if (i % 2 == 0) connection->close();
  }
  nothing.expect();
}

// ---- strangers ---------------------------------------------------------------------------------

TEST_F(HttpAttack, StrangersAreNotRead) {
  ListenOptions options;
  options.token = "the-token-of-this-test";
  options.max_wrong_tokens_per_s = 1000;
  listen(options);
  const std::string length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n";
  for (const std::string field : {"", "Authorization: Bearer\r\n", "Authorization: Bearer the-token-of-this-tesx\r\n",
                                  "Authorization: Bearer the-token-of-this-testt\r\n",
                                  "Authorization: Basic the-token-of-this-test\r\n", "Authorization: x\r\n"}) {
    const RawPeer peer(listener->address());
    peer.send(length + field + "\r\n");  // The body never comes.
    expect_refusal(peer, 401, ErrorCode::unauthenticated);
  }
}

/// Every request of a connection, which may be that of a proxy.
TEST_F(HttpAttack, EveryRequestShowsItsToken) {
  ListenOptions options;
  options.token = "the-token-of-this-test";
  options.max_wrong_tokens_per_s = 1000;
  listen(options);
  const RawPeer peer(listener->address());
  peer.send(post(good_message(), "authorization: bearer the-token-of-this-test\r\n") + post(good_message()));
  const auto said = peer.read_to_end();
  ASSERT_TRUE(said);
  const auto responses = responses_in(*said);
  ASSERT_EQ(responses.size(), 2U);
  EXPECT_EQ(responses[0].status, 200);
  EXPECT_EQ(responses[1].status, 401);
  EXPECT_TRUE(responses[1].has("WWW-Authenticate: Bearer"));
}

TEST_F(HttpAttack, AFloodOfWrongTokens) {
  ListenOptions options;
  options.token = "the-token-of-this-test";
  options.max_wrong_tokens_per_s = 5;
  options.max_connects_per_s = 1e6;
  const auto start = std::chrono::steady_clock::now();
  listen(options);
  std::map<int, int> statuses;
  for (int i = 0; i < 200; ++i) {
    const RawPeer peer(listener->address());
    peer.send(post(good_message(), "Authorization: Bearer the-wrong-token-of-it\r\n"));
    const auto said = peer.read_to_end();
    ASSERT_TRUE(said);
    for (const auto& response : responses_in(*said)) ++statuses[response.status];
  }
  const double took_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_GE(statuses[401], 5);
  EXPECT_LE(statuses[401], 5 + 5 * took_s + 1);
  EXPECT_GE(statuses[503], 1);
}

}  // namespace
}  // namespace splitnet
