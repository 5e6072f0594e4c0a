// SPDX-License-Identifier: Apache-2.0
#include "status_peer.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "splitnet/metrics.hpp"
#include "transport/http_status.hpp"
#include "transport/http_target.hpp"

namespace splitnet::detail {
namespace {

class StatusProtocol : public StreamProtocol {
 public:
  StatusProtocol(StatusPages pages, const StatusOptions& options)
      : service_(std::make_shared<StatusPeer::Service>(StatusPeer::Service{std::move(pages), options})) {}

  std::shared_ptr<AcceptedPeer> serve(AcceptedStream accepted, AcceptedPeer::Gone gone) override {
    return std::make_shared<StatusPeer>(service_, std::move(accepted), std::move(gone), true);
  }
  std::shared_ptr<AcceptedPeer> turn_away(AcceptedStream accepted, const Error&, AcceptedPeer::Gone gone) override {
    return std::make_shared<StatusPeer>(service_, std::move(accepted), std::move(gone), false);
  }

 private:
  const std::shared_ptr<const StatusPeer::Service> service_;
};

}  // namespace

std::shared_ptr<StreamProtocol> make_status_protocol(StatusPages pages, const StatusOptions& options) {
  return std::make_shared<StatusProtocol>(std::move(pages), options);
}

StatusPeer::StatusPeer(std::shared_ptr<const Service> service, AcceptedStream accepted, Gone gone, bool has_room)
    : service_(std::move(service)),
      context_(std::move(accepted.context)),
      stream_(std::move(accepted.stream)),
      gone_(std::move(gone)),
      has_room_(has_room),
      reader_(HttpReader::Reads::requests, nullptr),  // No body is ever read.
      sender_(*stream_),
      timer_(*context_) {}

void StatusPeer::start() {
  asio::post(*context_, [self = shared_from_this()] { self->open(); });
}

void StatusPeer::open() {
  if (closed_) return;
  const auto time = std::min<std::chrono::nanoseconds>(service_->options.timeout, std::chrono::hours(24));
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(time));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
    if (!aborted) self->end();
  });
  read();
}

void StatusPeer::read() {
  if (closed_) return;
  const std::span<std::byte> space = has_answered_ ? std::span<std::byte>(rubbish_) : reader_.space();
  stream_->async_read(space, [self = shared_from_this()](const boost::system::error_code& error, std::size_t bytes) {
    self->on_read(error, bytes);
  });
}

void StatusPeer::on_read(const boost::system::error_code& error, std::size_t bytes) {
  if (closed_) return;
  if (error) return end();
  // Closing with bytes unread would reset the answer away: the client closes first, or runs out of time.
  if (has_answered_) return read();
  try {
    reader_.filled(bytes);
    if (const auto head = reader_.next_head()) return answer(page_for(*head), head->method == "HEAD");
  } catch (const Error& refused) {
    const unsigned status = refused.code() == ErrorCode::too_large ? 431 : 400;
    return answer({status, std::string(refused.what()) + "\n"}, false);
  }
  read();
}

StatusPeer::Page StatusPeer::page_for(const HttpHead& head) const {
  if (!has_room_) return {503, "too many connections\n"};
  if (head.method != "GET" && head.method != "HEAD") return {405, "GET and HEAD only\n"};
  try {
    return page_at(path_of(head.target));
  } catch (const std::exception& error) {
    return {500, std::string(error.what()) + "\n"};
  }
}

StatusPeer::Page StatusPeer::page_at(std::string_view path) const {
  const StatusPages& pages = service_->pages;
  if (path == "/livez") return {200, "alive\n"};
  if (path == "/readyz") {
    const auto reason = pages.ready ? pages.ready() : std::nullopt;
    return reason ? Page{503, *reason + "\n"} : Page{200, "ready\n"};
  }
  if (path == "/metrics" && pages.metrics) return {200, pages.metrics(), prometheus_content_type};
  return {404, "pages: /livez, /readyz" + std::string(pages.metrics ? ", /metrics" : "") + "\n"};
}

void StatusPeer::answer(const Page& page, bool without_body) {
  has_answered_ = true;
  std::string text = "HTTP/1.1 " + std::to_string(page.status) + " ";
  text += reason_of_status(page.status);
  if (page.status == 405) text += "\r\nAllow: GET, HEAD";
  text += "\r\nContent-Type: " + std::string(page.type) + "\r\nContent-Length: " + std::to_string(page.text.size()) +
          "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
  if (!without_body) text += page.text;
  sender_.send(std::move(text), {}, [self = shared_from_this()](int error) { self->on_sent(error); });
}

void StatusPeer::on_sent(int error) {
  if (closed_) return;
  if (error != 0) return end();
  stream_->shutdown_write();
  read();
}

void StatusPeer::close(const Error&) {
  asio::post(*context_, [self = shared_from_this()] { self->end(); });
}

void StatusPeer::end() {
  if (closed_.exchange(true)) return;
  stream_->shutdown();
  asio::post(*context_, [self = shared_from_this()] {
    self->stream_->cancel();
    self->timer_.cancel();
    self->sender_.stop();
    self->gone_(self.get());
  });
}

}  // namespace splitnet::detail
