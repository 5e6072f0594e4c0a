// SPDX-License-Identifier: Apache-2.0
// One keep-alive socket of a caller. Private.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "http_reader.hpp"
#include "http_sender.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

/// One request on its way.
struct HttpCall {
  std::uint64_t id = 0;
  EncodedMessage message;
  std::string fields;            ///< Of its own in the head, each with its end of line.
  std::shared_ptr<void> queued;  ///< Counts its bytes as waiting to be sent.
  bool is_second = false;        ///< A second attempt.
};

class HttpLine;

/// What a line tells its caller, on the context's thread.
class HttpLineOwner {
 public:
  virtual ~HttpLineOwner() = default;
  /// The answer to the line's call; the line is idle now, or closed. `refuses_us`: no further call would fare better.
  virtual void on_answer(const std::shared_ptr<HttpLine>& line, std::uint64_t id, CallResult result,
                         bool refuses_us) = 0;
  /// Once, and last, unless the owner closed it: with the call that it had.
  virtual void on_lost(const std::shared_ptr<HttpLine>& line, std::optional<HttpCall> call, const Error& error) = 0;
};

/// All on the context's thread.
class HttpLine : public std::enable_shared_from_this<HttpLine> {
 public:
  struct Options {
    std::string endpoint;      ///< For messages.
    std::string request_head;  ///< Everything up to the number of Content-Length.
    MessageLimits limits;
    std::shared_ptr<BufferPool> pool;
  };
  HttpLine(std::shared_ptr<const Options> options, asio::io_context& context, std::unique_ptr<ByteStream> stream,
           std::weak_ptr<HttpLineOwner> owner);

  void start() { read(); }
  /// One call at a time.
  void send(HttpCall call);
  [[nodiscard]] bool is_open() const noexcept { return !closed_; }
  [[nodiscard]] std::optional<std::uint64_t> call_id() const noexcept {
    return call_ ? std::optional(call_->id) : std::nullopt;
  }
  /// It has waited for a call: meanwhile the peer may have closed it.
  void note_idle() noexcept { has_idled_ = true; }
  /// The call that was lost may be sent again on another socket.
  [[nodiscard]] bool may_repeat() const noexcept { return has_idled_ && !has_answered_ && was_closed_; }
  void close();

 private:
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  void process();
  void on_sent(int error);
  void answer(HttpReader::Frame frame);
  void answer_by_status();
  void finish(CallResult result, bool refuses_us, bool may_go_on);
  void lose(const Error& error);
  [[nodiscard]] Error status_error() const;

  const std::shared_ptr<const Options> options_;
  const std::unique_ptr<ByteStream> stream_;
  const std::weak_ptr<HttpLineOwner> owner_;
  HttpReader reader_;
  HttpSender sender_;
  asio::steady_timer timer_;
  std::optional<HttpCall> call_;
  std::optional<HttpHead> head_;  // Of the answer that is coming in.
  bool has_answered_ = false;     // A byte of the answer has come.
  bool has_idled_ = false;
  bool was_closed_ = false;  // By the peer, or by somebody on the way.
  bool closed_ = false;
};

}  // namespace splitnet::detail
