// SPDX-License-Identifier: Apache-2.0
// One socket of a listener that speaks HTTP. Private.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "http_hosts.hpp"
#include "http_reader.hpp"
#include "http_sender.hpp"
#include "stream_listener.hpp"

namespace splitnet::detail {

/// What the sockets of one listener have in common.
struct HttpService {
  HttpService(std::shared_ptr<ServedBy> its_by, std::shared_ptr<BufferPool> its_pool, std::string its_path)
      : by(std::move(its_by)), pool(std::move(its_pool)), path(std::move(its_path)), hosts(by->options) {}

  std::shared_ptr<ServedBy> by;
  std::shared_ptr<BufferPool> pool;
  std::string path;
  HttpHosts hosts;
};

/// One request after the other: its head, its body, the handler, the response. While the handler works, a pending read
/// notices a client that goes away. All but `start` and `close` on the context's thread.
class HttpPeer : public AcceptedPeer, public std::enable_shared_from_this<HttpPeer> {
 public:
  /// `refusal`: what it hears instead of an answer.
  HttpPeer(std::shared_ptr<HttpService> service, AcceptedStream accepted, Gone gone, std::optional<Error> refusal);

  void start() override;
  void close(const Error& reason) override;

 private:
  using Clock = std::chrono::steady_clock;
  enum class State {
    opening,
    head,
    waiting,  // For a place among the requests of this address.
    body,
    handling,
    answering,
    draining,  // The last word is said; closing at once with bytes unread would reset it away.
  };

  void open();
  void on_bad_handshake(const boost::system::error_code& error);
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes, bool is_aside);
  void process();
  bool process_once(int& turns);
  bool read_more();
  void on_head(const HttpHead& head);
  [[nodiscard]] std::optional<Error> refuse_token(const HttpHead& head) const;
  void invite();
  void on_message(HttpReader::Frame frame);
  void serve(Message message);

  void respond(const Message& reply);
  [[nodiscard]] EncodedMessage encode_reply(const Message& reply, unsigned& status) const;
  void fail(unsigned status, const Error& error);
  void refuse(const Error& error);
  void say_usage(bool without_body);
  void send(unsigned status, EncodedMessage message);
  void send(std::string head, EncodedMessage message);
  void on_sent(int error);

  void set_timer(std::chrono::nanoseconds time);
  void clear_timer();
  void watch_time();
  void on_timer();
  void leave();
  void end();
  void finish();

  const std::shared_ptr<HttpService> service_;
  const std::shared_ptr<asio::io_context> context_;
  // A responder on another thread can still hand its answer over.
  const asio::executor_work_guard<asio::io_context::executor_type> work_;
  const std::unique_ptr<ByteStream> stream_;
  const ServedPeer::Address address_;
  const Gone gone_;
  const std::optional<Error> refusal_;
  std::shared_ptr<HttpHost> host_;
  std::shared_ptr<ServedCalls> calls_;
  std::atomic<bool> closed_{false};

  State state_ = State::opening;
  HttpReader reader_;
  TraceContext trace_;  // Of the head of the request that is read.
  HttpSender sender_;
  std::array<std::byte, 512> aside_;  // What comes while nothing is asked for.
  bool reading_ = false;
  bool processing_ = false;
  bool has_ended_ = false;  // The peer sends no more.
  bool has_place_ = false;  // Of this address's requests.
  bool is_invited_ = true;  // False: it waits for "100 Continue".
  bool is_old_ = false;     // HTTP/1.0.
  bool is_last_ = false;    // The stream ends with the next response.
  bool discards_ = false;   // What comes is not looked at any more.
  std::size_t sent_before_ = 0;
  std::optional<Clock::time_point> message_since_;
  asio::steady_timer timer_;
  std::optional<Clock::time_point> due_;
};

}  // namespace splitnet::detail
