// SPDX-License-Identifier: Apache-2.0
#include "splitnet/transport/http.hpp"

#include <cstdio>
#include <fstream>
#include <set>

#include "http_raw.hpp"
#include "splitnet/transport_registry.hpp"
#include "transport/http_endpoint.hpp"
#include "transport/http_status.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::chunked_post;
using testing::code_of;
using testing::echo;
using testing::good_message;
using testing::post;
using testing::RawPeer;
using testing::read_responses;
using testing::request_with;
using testing::start_call;

// ---- endpoints ---------------------------------------------------------------------------------

TEST(HttpEndpoint, HasAPortAndAPath) {
  const auto full = detail::parse_http_endpoint("http", "http://here:8080/models/tail");
  EXPECT_EQ(full.tcp.host, "here");
  EXPECT_EQ(full.tcp.port, "8080");
  EXPECT_EQ(full.path, "/models/tail");
  EXPECT_EQ(full.host, "here:8080");
  const auto bare = detail::parse_http_endpoint("https", "https://here.example");
  EXPECT_EQ(bare.tcp.port, "443");
  EXPECT_EQ(bare.path, "/");
  EXPECT_EQ(bare.host, "here.example");
  const auto six = detail::parse_http_endpoint("http", "http://[::1]/x");
  EXPECT_EQ(six.tcp.host, "::1");
  EXPECT_EQ(six.tcp.port, "80");
  EXPECT_EQ(six.host, "[::1]");
}

TEST(HttpEndpoint, RefusesWhatIsNone) {
  for (const std::string endpoint : {"http://", "http:///path", "http://:80/", "http://host:x/", "http://host:1/a b",
                                     "http://host:1/a?b", "http://host:1/a#b", "http://host:1/a\r\nX: y",
                                     "https://host:1", "tcp://host:1", "http://u@host:1", "nonsense"}) {
    EXPECT_EQ(code_of([&] { (void)make_http_transport()->connect(endpoint, {}); }), ErrorCode::invalid_argument)
        << endpoint;
  }
}

TEST(HttpEndpoint, RefusesAddressesThatOtherMachinesReach) {
  EXPECT_EQ(code_of([] { (void)make_http_transport()->listen("http://0.0.0.0:0", echo, {}); }),
            ErrorCode::invalid_argument);
  ListenOptions options;
  options.token = "the-token-of-this-test";
  EXPECT_NO_THROW((void)make_http_transport()->listen("http://0.0.0.0:0", echo, options));
}

TEST(HttpStatus, AgreesWithItselfBothWays) {
  for (const auto code : {ErrorCode::too_large, ErrorCode::unauthenticated, ErrorCode::overloaded,
                          ErrorCode::unavailable, ErrorCode::deadline_exceeded, ErrorCode::internal}) {
    EXPECT_EQ(detail::code_of_status(detail::status_of(code)), code);
  }
  EXPECT_EQ(detail::code_of_status(404), ErrorCode::invalid_argument);
  EXPECT_EQ(detail::code_of_status(302), ErrorCode::invalid_argument);
  EXPECT_EQ(detail::code_of_status(200), ErrorCode::corrupt);
}

// ---- the answering side ------------------------------------------------------------------------

class HttpListener : public ::testing::Test {
 protected:
  void listen(Handler handler = echo, const ListenOptions& options = {}, const std::string& path = "") {
    listener = transport->listen("http://127.0.0.1:0" + path, std::move(handler), options);
  }
  std::shared_ptr<Transport> transport = make_http_transport();
  std::unique_ptr<Listener> listener;
};

TEST_F(HttpListener, AnswersOnTheSameSocket) {
  listen();
  const RawPeer peer(listener->address());
  for (std::uint64_t id = 1; id < 4; ++id) {
    peer.send(post(good_message(id)));
    const auto responses = read_responses(peer, 1);
    ASSERT_EQ(responses.size(), 1U);
    EXPECT_EQ(responses[0].status, 200);
    EXPECT_TRUE(responses[0].has("Content-Type: application/octet-stream"));
    EXPECT_EQ(responses[0].message().id, id);
  }
}

TEST_F(HttpListener, AnswersRequestsThatDoNotWait) {
  listen();
  const RawPeer peer(listener->address());
  std::string all;
  for (std::uint64_t id = 1; id <= 50; ++id)
    all += id % 2 == 0 ? post(good_message(id)) : chunked_post(good_message(id), 99);
  peer.send(all);
  const auto responses = read_responses(peer, 50);
  ASSERT_EQ(responses.size(), 50U);
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(responses[i].message().id, i + 1);
}

TEST_F(HttpListener, TakesChunksOfAnySize) {
  listen();
  const auto body = good_message(9, {testing::iota_u8(30'000)});
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{8192}, body.size()}) {
    const RawPeer peer(listener->address());
    peer.send(chunked_post(body, size));
    const auto responses = read_responses(peer, 1);
    ASSERT_EQ(responses.size(), 1U) << size;
    EXPECT_EQ(responses[0].status, 200) << size;
    EXPECT_TRUE(bit_identical(responses[0].message().values.at(0).tensor(), testing::iota_u8(30'000)));
  }
}

TEST_F(HttpListener, TakesItByteForByte) {
  listen();
  const RawPeer peer(listener->address());
  for (const char c : post(good_message())) peer.send(&c, 1);
  EXPECT_EQ(read_responses(peer, 1).at(0).status, 200);
}

TEST_F(HttpListener, InvitesWhoAsksFirst) {
  listen();
  const RawPeer peer(listener->address());
  const auto body = good_message();
  const auto request = post(body, "Expect: 100-continue\r\n");
  peer.send(request.substr(0, request.size() - body.size()));
  EXPECT_EQ(read_responses(peer, 1).at(0).status, 100);
  peer.send(body);
  EXPECT_EQ(read_responses(peer, 1).at(0).status, 200);
}

TEST_F(HttpListener, SpeaksHttp10) {
  listen();
  const auto body = good_message();
  const std::string head = "POST / HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  const RawPeer once(listener->address());
  once.send(head + "\r\n" + body);
  const auto said = once.read_to_end();
  ASSERT_TRUE(said);
  EXPECT_EQ(testing::responses_in(*said).at(0).status, 200);
  const RawPeer kept(listener->address());
  for (int i = 0; i < 2; ++i) {
    kept.send(head + "Connection: keep-alive\r\n\r\n" + body);
    const auto responses = read_responses(kept, 1);
    ASSERT_EQ(responses.size(), 1U);
    EXPECT_TRUE(responses[0].has("Connection: keep-alive"));
  }
}

TEST_F(HttpListener, TellsPeopleWhatItIs) {
  listen();
  for (const std::string method : {"GET", "HEAD", "PUT", "OPTIONS", "DELETE"}) {
    const RawPeer peer(listener->address());
    peer.send(method + " / HTTP/1.1\r\nHost: a\r\n\r\n");
    const auto said = peer.read_to_end();
    ASSERT_TRUE(said);
    EXPECT_TRUE(said->starts_with("HTTP/1.1 405 ")) << *said;
    EXPECT_NE(said->find("\r\nAllow: POST\r\n"), std::string::npos);
    EXPECT_EQ(said->ends_with("\r\n\r\n"), method == "HEAD");
    EXPECT_EQ(said->find("wire_format.md") != std::string::npos, method != "HEAD");
  }
}

TEST_F(HttpListener, IsAtItsPathOnly) {
  listen(echo, {}, "/models/tail");
  EXPECT_TRUE(listener->address().ends_with("/models/tail"));
  for (const std::string path : {"/", "/models", "/models/tail/", "/models/tail2"}) {
    const RawPeer peer(listener->address());
    peer.send(post(good_message(), "", path));
    testing::expect_refusal(peer, 404, ErrorCode::invalid_argument);
  }
  for (const std::string target : {"/models/tail", "/models/tail?x=y", "http://here:80/models/tail"}) {
    const RawPeer peer(listener->address());
    peer.send(post(good_message(), "", target));
    EXPECT_EQ(read_responses(peer, 1).at(0).status, 200) << target;
  }
  const auto address = listener->address();
  const auto astray = transport->connect(address.substr(0, address.find("/models")), {});
  EXPECT_EQ(start_call(*astray, request_with({})).error(), ErrorCode::invalid_argument);
}

TEST_F(HttpListener, TakesTheTraceFromTheHeadWhereTheMessageHasNone) {
  std::mutex mutex;
  std::vector<TraceContext> seen;
  listen([&](Message request, CallContext, Responder respond) {
    const std::lock_guard lock(mutex);
    seen.push_back(request.trace);
    respond(request);
  });
  const std::string in_head = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const std::string in_message = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  auto traced = request_with({Value(1)});
  traced.id = 9;
  traced.trace.traceparent = in_message;
  const RawPeer peer(listener->address());
  for (const std::string& bytes :
       {post(good_message(), "TraceParent: " + in_head + "\r\ntracestate: a=1\r\ntracestate: b=2\r\n"),
        post(testing::bytes_of(traced), "traceparent: " + in_head + "\r\n"),
        post(good_message(), "traceparent: " + in_head + "x\r\ntracestate: a=1\r\n"),
        post(good_message(), "traceparent: " + in_head + "\r\ntraceparent: " + in_message + "\r\n"),
        post(good_message())}) {
    peer.send(bytes);
    ASSERT_EQ(read_responses(peer, 1).size(), 1U);
  }
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen, (std::vector<TraceContext>{{in_head, "a=1,b=2"}, {in_message, ""}, {}, {}, {}}));
}

TEST_F(HttpListener, NeedsALength) {
  listen();
  const RawPeer peer(listener->address());
  peer.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
  testing::expect_refusal(peer, 411, ErrorCode::invalid_argument);
}

TEST_F(HttpListener, GivesErrorsTheirStatus) {
  listen([](const Message& request, const CallContext&, const Responder& respond) {
    const auto code = static_cast<ErrorCode>(request.values.at(0).integer());
    respond(Message::make_error(Error(code, "as asked for")));
  });
  const std::map<ErrorCode, int> statuses = {
      {ErrorCode::invalid_argument, 400}, {ErrorCode::unsupported_model, 422}, {ErrorCode::incompatible, 409},
      {ErrorCode::corrupt, 400},          {ErrorCode::too_large, 413},         {ErrorCode::unauthenticated, 401},
      {ErrorCode::overloaded, 503},       {ErrorCode::unavailable, 502},       {ErrorCode::deadline_exceeded, 504},
      {ErrorCode::internal, 500},         {ErrorCode::cancelled, 499}};
  const RawPeer peer(listener->address());  // One socket for all of them.
  const auto connection = transport->connect(listener->address(), {});
  for (const auto& [code, status] : statuses) {
    const auto number = Value(static_cast<std::int64_t>(code));
    peer.send(post(good_message(9, {number})));
    const auto responses = read_responses(peer, 1);
    ASSERT_EQ(responses.size(), 1U);
    EXPECT_EQ(responses[0].status, status);
    EXPECT_EQ(responses[0].message().error, code);
    EXPECT_EQ(start_call(*connection, request_with({number})).error(), code) << "and the connection goes on";
  }
}

TEST_F(HttpListener, LimitsTheRequestsOfAnAddress) {
  ListenOptions options;
  options.max_requests_per_s = 2;
  listen(echo, options);
  std::map<int, int> statuses;
  for (int i = 0; i < 10; ++i) {
    const RawPeer peer(listener->address());  // A new socket gives no new start.
    peer.send(post(good_message()));
    ++statuses[read_responses(peer, 1).at(0).status];
  }
  EXPECT_GE(statuses[200], 2);
  EXPECT_GE(statuses[429], 1);
  EXPECT_EQ(statuses[200] + statuses[429], 10);
}

TEST_F(HttpListener, NoticesAClientThatGoesAway) {
  testing::Held held;
  listen(held.handler());
  std::optional<RawPeer> peer(std::in_place, listener->address());
  peer->send(post(good_message()));
  ASSERT_TRUE(held.wait_for(1));
  peer.reset();
  EXPECT_TRUE(testing::wait_until_stopped(held.take().at(0).context.stop));
}

// ---- the calling side --------------------------------------------------------------------------

TEST(HttpConnection, KeepsItsSocket) {
  std::mutex mutex;
  std::set<std::string> peers;
  const auto transport = make_http_transport();
  const auto listener = transport->listen("http://127.0.0.1:0",
                                          [&](Message request, const CallContext& context, const Responder& respond) {
                                            {
                                              const std::lock_guard lock(mutex);
                                              peers.insert(context.peer);
                                            }
                                            echo(std::move(request), context, respond);
                                          },
                                          {});
  const auto connection = transport->connect(listener->address(), {});
  for (int i = 0; i < 50; ++i) (void)call_and_wait(*connection, request_with({testing::iota_u8(i * 1000)}));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(peers.size(), 1U);
}

TEST(HttpConnection, OpensNoMoreSocketsThanItMay) {
  testing::Held held;
  HttpOptions options;
  options.max_sockets = 3;
  const auto transport = make_http_transport(options);
  const auto listener = transport->listen("http://127.0.0.1:0", held.handler(), {});
  const auto connection = transport->connect(listener->address(), {});
  std::vector<testing::Outcome> outcomes;
  for (int i = 0; i < 10; ++i) outcomes.push_back(start_call(*connection, request_with({Value(i)})));
  std::set<std::string> peers;
  for (int answered = 0; answered < 10;) {
    ASSERT_TRUE(held.wait_for(1));
    EXPECT_FALSE(held.wait_for(4, 5ms));
    for (auto& item : held.take()) {
      peers.insert(item.context.peer);
      item.respond(testing::reply_with(item.request.values));
      ++answered;
    }
  }
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    ASSERT_NE(outcomes[i].message(), nullptr);
    EXPECT_EQ(outcomes[i].message()->values.at(0).integer(), static_cast<std::int64_t>(i));
  }
  EXPECT_LE(peers.size(), 3U);
}

TEST(HttpConnection, CancelsWhatWaitsForASocket) {
  testing::Held held;
  HttpOptions options;
  options.max_sockets = 1;
  const auto transport = make_http_transport(options);
  const auto listener = transport->listen("http://127.0.0.1:0", held.handler(), {});
  const auto connection = transport->connect(listener->address(), {});
  const auto first = start_call(*connection, request_with({Value(1)}));
  ASSERT_TRUE(held.wait_for(1));
  std::stop_source stop;
  const auto second = start_call(*connection, request_with({Value(2)}), {}, stop.get_token());
  const auto third = start_call(*connection, request_with({Value(3)}));
  stop.request_stop();
  EXPECT_EQ(second.error(), ErrorCode::cancelled);
  for (auto& item : held.take()) item.respond(testing::reply_with({}));
  ASSERT_TRUE(held.wait_for(1));
  auto items = held.take();
  EXPECT_EQ(items.at(0).request.values.at(0).integer(), 3);
  items.at(0).respond(testing::reply_with({}));
  EXPECT_EQ(first.error(), std::nullopt);
  EXPECT_EQ(third.error(), std::nullopt);
}

/// Serves one socket after the other with what the test wrote, as long as there is something.
class ScriptedServer {
 public:
  using Behaviour = std::function<void(int socket)>;
  explicit ScriptedServer(std::vector<Behaviour> script) {
    testing::RawAddress address("http://127.0.0.1:0");
    descriptor_ = ::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(::bind(descriptor_, address.data(), *address.size()), 0);
    EXPECT_EQ(::listen(descriptor_, 16), 0);
    EXPECT_EQ(::getsockname(descriptor_, address.data(), address.size()), 0);
    address_ = address.to_uri("http://127.0.0.1:0");
    thread_ = std::thread([this, script = std::move(script)] {
      for (const auto& behave : script) {
        const int socket = ::accept(descriptor_, nullptr, nullptr);
        if (socket < 0) return;
        ++accepted_;
        behave(socket);
        ::close(socket);
      }
    });
  }
  ~ScriptedServer() {
    ::shutdown(descriptor_, SHUT_RDWR);  // Ends an accept that still waits.
    thread_.join();
    ::close(descriptor_);
  }
  const std::string& address() const { return address_; }
  int accepted() const { return accepted_; }

 private:
  int descriptor_ = -1;
  std::string address_;
  std::atomic<int> accepted_{0};
  std::thread thread_;
};

/// Until a whole small request is there; its id. 0: the socket has ended.
std::uint64_t read_request(int socket) {
  std::string text;
  for (;;) {
    const auto head = text.find("\r\n\r\n");
    const auto length = text.find("Content-Length: ");
    if (head != std::string::npos && length != std::string::npos &&
        text.size() >= head + 4 + std::stoul(text.substr(length + 16))) {
      return decode(std::as_bytes(std::span(text).subspan(head + 4))).id;
    }
    char part[4096];
    const auto got = ::recv(socket, part, sizeof part, 0);
    if (got <= 0) return 0;
    text.append(part, static_cast<std::size_t>(got));
  }
}

void say(int socket, const std::string& text) {
  (void)!::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
}

std::string reply_to(std::uint64_t id) {
  auto reply = testing::reply_with({testing::iota_u8(300)});
  reply.id = id;
  return testing::bytes_of(reply);
}

std::string response(const std::string& body, const std::string& first = "HTTP/1.1 200 OK\r\n") {
  return first + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

void answer_well(int socket) {
  while (const auto id = read_request(socket)) say(socket, response(reply_to(id)));
}

/// The error of one call to a server that answers so.
std::optional<ErrorCode> outcome_of(const std::function<std::string(std::uint64_t)>& answer) {
  const ScriptedServer server({[&answer](int socket) { say(socket, answer(read_request(socket))); }});
  ConnectOptions options;
  options.reconnect.enabled = false;
  const auto connection = make_http_transport()->connect(server.address(), options);
  return start_call(*connection, request_with({})).error();
}

TEST(HttpConnection, UnderstandsWhatProxiesSay) {
  const std::map<int, ErrorCode> codes = {
      {301, ErrorCode::invalid_argument}, {400, ErrorCode::invalid_argument}, {401, ErrorCode::unauthenticated},
      {403, ErrorCode::unauthenticated},  {404, ErrorCode::invalid_argument}, {407, ErrorCode::unauthenticated},
      {413, ErrorCode::too_large},        {429, ErrorCode::overloaded},       {500, ErrorCode::internal},
      {502, ErrorCode::unavailable},      {503, ErrorCode::overloaded},       {504, ErrorCode::deadline_exceeded}};
  for (const auto& [status, code] : codes) {
    for (const std::string& body : {std::string(), std::string("<html>Bad</html>"), std::string(5000, 'x')}) {
      EXPECT_EQ(outcome_of([&](auto) {
                  return response(body,
                                  "HTTP/1.1 " + std::to_string(status) + " Whatever\r\nContent-Type: text/html\r\n");
                }),
                code)
          << status;
    }
  }
  EXPECT_EQ(outcome_of([](auto) { return "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>until the end</html>"; }),
            ErrorCode::unavailable);
  EXPECT_EQ(outcome_of([](auto) {
              return "HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<html\r\n0\r\n\r\n";
            }),
            ErrorCode::unavailable);
}

TEST(HttpConnection, ReportsWhatIsNoAnswer) {
  EXPECT_EQ(outcome_of([](auto) { return response("<html>Welcome</html>"); }), ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto) { return response("SPLN" + std::string(200, ' ')); }), ErrorCode::incompatible);
  EXPECT_EQ(outcome_of([](auto) { return response(std::string(200, ' ')); }), ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto) { return std::string("HTTP/1.1 204 No Content\r\n\r\n"); }), ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto id) { return response(reply_to(id + 1)); }), ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto id) { return response(good_message(id)); }), ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto id) { return "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + reply_to(id); }),
            ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto) { return std::string("ICY 200 OK\r\n\r\n"); }), ErrorCode::corrupt);
  EXPECT_EQ(outcome_of([](auto id) { return response(reply_to(id)).substr(0, 200); }), ErrorCode::unavailable);
  EXPECT_EQ(outcome_of([](auto) { return "HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'a'); }), ErrorCode::too_large);
}

TEST(HttpConnection, TakesAnswersInEveryForm) {
  EXPECT_EQ(outcome_of([](auto id) { return "HTTP/1.1 200 OK\r\n\r\n" + reply_to(id); }), std::nullopt);
  EXPECT_EQ(outcome_of([](auto id) { return response(reply_to(id), "HTTP/1.0 200 OK\r\n"); }), std::nullopt);
  EXPECT_EQ(outcome_of([](auto id) {
              return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" +
                     response(reply_to(id));
            }),
            std::nullopt);
  EXPECT_EQ(outcome_of([](auto id) {
              const auto chunked = chunked_post(reply_to(id), 70);
              return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                     chunked.substr(chunked.find("\r\n\r\n") + 4);
            }),
            std::nullopt);
}

TEST(HttpConnection, SendsOnceMoreWhenAnIdleSocketWasClosed) {
  std::vector<std::uint64_t> ids;
  const ScriptedServer server({[&](int socket) {
                                 say(socket, response(reply_to(read_request(socket))));
                                 ids.push_back(read_request(socket));  // And closes without a byte.
                               },
                               [&](int socket) {
                                 const auto id = read_request(socket);
                                 ids.push_back(id);
                                 say(socket, response(reply_to(id)));
                               }});
  const auto connection = make_http_transport()->connect(server.address(), {});
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  EXPECT_EQ(ids, (std::vector<std::uint64_t>{2, 2}));
  EXPECT_EQ(server.accepted(), 2);
}

TEST(HttpConnection, ReplacesASocketThatWasClosedWhileIdle) {
  std::promise<void> closed;
  const ScriptedServer server({[&](int socket) {
                                 say(socket, response(reply_to(read_request(socket))));
                                 ::close(::dup(socket));
                                 ::shutdown(socket, SHUT_RDWR);
                                 closed.set_value();
                               },
                               answer_well});
  const auto connection = make_http_transport()->connect(server.address(), {});
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  closed.get_future().wait();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  EXPECT_EQ(server.accepted(), 2);
}

TEST(HttpConnection, DoesNotSendAgainWhatWasAnsweredInPart) {
  std::atomic<int> requests{0};
  const ScriptedServer server({[&](int socket) {
                                 say(socket, response(reply_to(read_request(socket))));
                                 (void)read_request(socket);
                                 ++requests;
                                 say(socket, "HTTP/1.1 2");
                               },
                               [&](int socket) {
                                 if (read_request(socket) != 0) ++requests;
                               }});
  const auto connection = make_http_transport()->connect(server.address(), {});
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_EQ(requests, 1);
}

TEST(HttpConnection, SendsAgainOnlyOnce) {
  std::atomic<int> requests{0};
  const auto read_and_close = [&](int socket) {
    if (read_request(socket) != 0) ++requests;
  };
  const ScriptedServer server({read_and_close, read_and_close, read_and_close});
  const auto connection = make_http_transport()->connect(server.address(), {});
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unavailable);
  EXPECT_EQ(requests, 2);
}

TEST(HttpConnection, HearsAnAnswerBeforeAllIsSent) {
  std::promise<void> finished;
  const ScriptedServer server({[&](int socket) {
                                 char part[1000];
                                 (void)!::recv(socket, part, sizeof part, 0);
                                 say(socket, response("", "HTTP/1.1 413 Too Large\r\n"));
                                 finished.get_future().wait();  // Reads no more of it.
                               },
                               answer_well});
  const auto connection = make_http_transport()->connect(server.address(), {});
  EXPECT_EQ(start_call(*connection, request_with({testing::iota_u8(50'000'000)})).error(), ErrorCode::too_large);
  finished.set_value();
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
}

TEST(HttpConnection, ShowsItsToken) {
  std::string head;
  const ScriptedServer server({[&](int socket) {
    char part[4096];
    const auto got = ::recv(socket, part, sizeof part, MSG_PEEK);
    head.assign(part, static_cast<std::size_t>(got));
    answer_well(socket);
  }});
  ConnectOptions options;
  options.token = "the-token-of-this-test";
  const auto connection = make_http_transport()->connect(server.address() + "/a/b", options);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), std::nullopt);
  EXPECT_TRUE(head.starts_with("POST /a/b HTTP/1.1\r\n")) << head;
  EXPECT_NE(head.find("\r\nAuthorization: Bearer the-token-of-this-test\r\n"), std::string::npos);
  EXPECT_NE(head.find("\r\nHost: 127.0.0.1:"), std::string::npos);
}

/// The head of a request with this trace.
std::string head_with(const TraceContext& trace) {
  std::string head;
  const ScriptedServer server({[&](int socket) {
    char part[4096];
    const auto got = ::recv(socket, part, sizeof part, MSG_PEEK);
    head.assign(part, static_cast<std::size_t>(got));
    head.resize(head.find("\r\n\r\n") + 2);
    answer_well(socket);
  }});
  const auto connection = make_http_transport()->connect(server.address(), {});
  auto request = request_with({});
  request.trace = trace;
  EXPECT_EQ(start_call(*connection, request).error(), std::nullopt);
  return head;
}

TEST(HttpConnection, ShowsTheTraceToProxies) {
  const std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const auto whole = head_with({parent, "a=1"});
  EXPECT_NE(whole.find("\r\ntraceparent: " + parent + "\r\ntracestate: a=1\r\n"), std::string::npos) << whole;
  EXPECT_EQ(head_with({parent, "a=1\r\nEvil: 1"}).find("Evil"), std::string::npos);
  EXPECT_EQ(head_with({parent + "\r\nEvil: 1", "a=1"}).find("\r\ntrace"), std::string::npos);
  const std::string later = "cc" + parent.substr(2) + "-and-more";
  EXPECT_NE(head_with({later, ""}).find("\r\ntraceparent: " + later + "\r\n"), std::string::npos);
  EXPECT_EQ(head_with({later + "\r\nEvil: 1", "a=1"}).find("\r\ntrace"), std::string::npos);
}

TEST(HttpConnection, IsNotUsedAnyMoreAfterARefusedToken) {
  const auto transport = make_http_transport();
  ListenOptions listening;
  listening.token = "the-token-of-this-test";
  const auto listener = transport->listen("http://127.0.0.1:0", echo, listening);
  ConnectOptions options;
  options.token = "another-token-than-that";
  const auto connection = transport->connect(listener->address(), options);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unauthenticated);
  EXPECT_EQ(start_call(*connection, request_with({})).error(), ErrorCode::unauthenticated);
}

// ---- by other programs -------------------------------------------------------------------------

/// What a command prints.
std::string output_of(const std::string& command) {
  std::FILE* const pipe = ::popen(command.c_str(), "r");
  std::string all;
  char part[4096];
  for (std::size_t got = 0; (got = std::fread(part, 1, sizeof part, pipe)) > 0;) all.append(part, got);
  ::pclose(pipe);
  return all;
}

TEST(HttpByCurl, PostsWithALengthAndInChunks) {
  ASSERT_EQ(std::system("command -v curl > /dev/null"), 0) << "curl is missing; scripts/setup installs it";
  const auto listener = make_http_transport()->listen("http://127.0.0.1:0/models", echo, {});
  const std::string path = ::testing::TempDir() + "splitnet_curl_" + std::to_string(::getpid());
  const auto tensor = testing::iota_u8(3'000'000);  // So large that curl asks for "100 Continue".
  std::ofstream(path, std::ios::binary) << good_message(7, {tensor});
  const std::string curl =
      "curl --silent --noproxy '*' --max-time 20 -X POST -H 'Content-Type: application/octet-stream' ";
  for (const std::string& how :
       {"--data-binary @" + path, "-H 'Transfer-Encoding: chunked' -T " + path, "-T - < " + path}) {
    const auto body = output_of(curl + listener->address() + " " + how);
    ASSERT_GE(body.size(), message_header_bytes) << how;
    const auto reply = decode(std::as_bytes(std::span(body)));
    EXPECT_EQ(reply.id, 7U);
    ASSERT_EQ(reply.kind, MessageKind::reply) << how << ": " << reply.error_message;
    EXPECT_TRUE(bit_identical(reply.values.at(0).tensor(), tensor)) << how;
  }
  EXPECT_EQ(output_of(curl + "-o /dev/null -w '%{http_code}' " + listener->address() + "/other --data-binary @" + path),
            "404");
  EXPECT_NE(output_of("curl --silent --noproxy '*' " + listener->address()).find("POST"), std::string::npos);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace splitnet
