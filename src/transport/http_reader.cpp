// SPDX-License-Identifier: Apache-2.0
#include "http_reader.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "asio.hpp"
#include "splitnet/trace.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

namespace splitnet::detail {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::corrupt, "http: " + what);
}

[[noreturn]] void refuse(const boost::system::error_code& error) {
  if (error == http::error::header_limit) {
    throw Error(ErrorCode::too_large,
                "http: a head of more than " + std::to_string(HttpReader::max_head_bytes) + " bytes");
  }
  refuse(error.message());
}

std::string to_string(beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

/// One head.
class HttpReader::Parser {
 public:
  virtual ~Parser() = default;
  /// Bytes used; `is_done` when none are missing.
  virtual std::size_t put(std::span<const std::byte> bytes, bool& is_done) = 0;
  [[nodiscard]] virtual HttpHead head() const = 0;
};

template <bool is_request>
class HttpReader::BeastParser : public HttpReader::Parser {
 public:
  BeastParser() {
    parser_.header_limit(max_head_bytes);
    parser_.body_limit(std::numeric_limits<std::uint64_t>::max());  // MessageLimits bound it.
  }

  std::size_t put(std::span<const std::byte> bytes, bool& is_done) override {
    boost::system::error_code error;
    const std::size_t used = parser_.put(asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error && error != http::error::need_more) refuse(error);
    is_done = parser_.is_header_done();
    return used;
  }

  [[nodiscard]] HttpHead head() const override {
    const auto& message = parser_.get();
    HttpHead head;
    if constexpr (is_request) {
      head.method = to_string(message.method_string());
      head.target = to_string(message.target());
      head.authorization = to_string(message[http::field::authorization]);
      head.trace = trace();
      head.expects_continue = beast::iequals(message[http::field::expect], "100-continue");
    } else {
      head.status = message.result_int();
      head.location = to_string(message[http::field::location]);
    }
    if (message.version() != 10 && message.version() != 11) refuse("neither HTTP/1.1 nor HTTP/1.0");
    head.is_old = message.version() == 10;
    head.keeps_alive = parser_.keep_alive();
    head.is_chunked = parser_.chunked();
    if (const auto length = parser_.content_length()) head.length = *length;
    check_framing(head);
    if (head.status == 204 || head.status == 304) {  // Never with a body, whatever else the head says.
      head.is_chunked = false;
      head.length = 0;
    }
    return head;
  }

 private:
  /// Two that read the framing of one message differently are how requests are smuggled past a proxy (RFC 9112,
  /// section 11.2): whatever could be read in two ways is refused. Beast refuses both kinds of framing at once.
  void check_framing(const HttpHead& head) const {
    const auto& message = parser_.get();
    if (message.count(http::field::content_length) > 1) refuse("more than one Content-Length");
    const bool says_encoding = message.count(http::field::transfer_encoding) > 0;
    if (says_encoding && !beast::iequals(message[http::field::transfer_encoding], "chunked")) {
      refuse("a Transfer-Encoding other than chunked");
    }
    if (is_request && message.count(http::field::host) != (head.is_old ? message.count(http::field::host) : 1)) {
      refuse("not one Host");
    }
    if (head.is_chunked && head.is_old) refuse("chunks in HTTP/1.0");
  }

  /// W3C trace context: one traceparent; of several tracestates one list.
  [[nodiscard]] TraceContext trace() const {
    const auto& message = parser_.get();
    TraceContext trace;
    trace.traceparent = to_string(message["traceparent"]);
    if (message.count("traceparent") != 1 || !parse_traceparent(trace.traceparent)) return {};
    const auto states = message.equal_range("tracestate");
    for (auto state = states.first; state != states.second; ++state) {
      trace.tracestate += (trace.tracestate.empty() ? "" : ",") + to_string(state->value());
    }
    if (!is_tracestate(trace.tracestate)) trace.tracestate.clear();
    return trace;
  }

  http::parser<is_request, http::empty_body> parser_;
};

HttpReader::HttpReader(Reads reads, std::shared_ptr<BufferPool> pool, std::shared_ptr<ByteBudget> budget)
    : reads_(reads), pool_(std::move(pool)), budget_(std::move(budget)) {}

HttpReader::~HttpReader() = default;

bool HttpReader::fills_body() const noexcept {
  return body_.has_value() && !head_.is_chunked && begin_ == end_ && !body_->is_complete();
}

std::span<std::byte> HttpReader::space() noexcept {
  if (fills_body()) return body_->space();
  return {staging_.data() + end_, room()};
}

void HttpReader::filled(std::size_t bytes) {
  if (fills_body()) return body_->filled(bytes);
  end_ += bytes;
}

void HttpReader::put(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto to = space();
    const auto part = std::min(to.size(), bytes.size());
    std::memcpy(to.data(), bytes.data(), part);
    filled(part);
    bytes = bytes.subspan(part);
  }
}

std::optional<HttpHead> HttpReader::next_head() {
  for (;;) {
    auto head = parse_head();
    // 100 and 103 are said before the answer: nothing that we wait for.
    if (head && reads_ == Reads::responses && head->status < 200) continue;
    move_to_front();
    return head;
  }
}

std::optional<HttpHead> HttpReader::parse_head() {
  if (begin_ == end_) return std::nullopt;
  if (!parser_) {
    if (reads_ == Reads::requests) {
      parser_ = std::make_unique<BeastParser<true>>();
    } else {
      parser_ = std::make_unique<BeastParser<false>>();
    }
  }
  bool is_done = false;
  const auto used = parser_->put(std::span(staging_).subspan(begin_, end_ - begin_), is_done);
  begin_ += used;
  head_bytes_ += used;
  // Beast bounds each line, but not their number.
  if (head_bytes_ + (is_done ? 0 : end_ - begin_) >= max_head_bytes) refuse(http::error::header_limit);
  if (!is_done) return std::nullopt;
  head_ = parser_->head();
  parser_.reset();
  head_bytes_ = 0;
  chunks_ = {};
  body_.reset();
  return head_;
}

void HttpReader::move_to_front() noexcept {
  if (begin_ != 0) std::memmove(staging_.data(), staging_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
}

std::optional<HttpReader::Frame> HttpReader::next_body(const MessageLimits& limits) {
  if (!body_) body_.emplace(limits, pool_, budget_, head_.is_chunked ? std::nullopt : head_.length);
  head_.is_chunked ? use_staged_chunks() : use_staged_body();
  move_to_front();
  if (!body_->is_complete() || (head_.is_chunked && !chunks_.is_done())) return std::nullopt;
  auto frame = body_->take();
  body_.reset();
  return frame;
}

void HttpReader::use_staged_body() {
  while (begin_ != end_ && !body_->is_complete()) {
    const auto space = body_->space();
    const auto bytes = std::min(space.size(), end_ - begin_);
    std::memcpy(space.data(), staging_.data() + begin_, bytes);
    begin_ += bytes;
    body_->filled(bytes);
  }
}

void HttpReader::use_staged_chunks() {
  while (begin_ != end_ && !chunks_.is_done()) {
    const auto [used, written] = chunks_.put(std::span(staging_).subspan(begin_, end_ - begin_), body_->space());
    begin_ += used;
    if (written > 0) body_->filled(written);
    if (used == 0) refuse("more bytes than the message has");
  }
  if (chunks_.is_done() && !body_->is_complete()) refuse("fewer bytes than the message has");
}

}  // namespace splitnet::detail
