// SPDX-License-Identifier: Apache-2.0
// One client of a StatusServer. Private.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>

#include "splitnet/status_server.hpp"
#include "transport/http_reader.hpp"
#include "transport/http_sender.hpp"
#include "transport/stream_listener.hpp"

namespace splitnet::detail {

/// Sockets are those of the transports' listeners.
std::shared_ptr<StreamProtocol> make_status_protocol(StatusPages pages, const StatusOptions& options);

/// One request and its answer. All but `start` and `close` on the context's thread.
class StatusPeer : public AcceptedPeer, public std::enable_shared_from_this<StatusPeer> {
 public:
  struct Service {
    StatusPages pages;
    StatusOptions options;
  };
  /// `has_room`: false when all that it may hear is that it comes at a bad time.
  StatusPeer(std::shared_ptr<const Service> service, AcceptedStream accepted, Gone gone, bool has_room);

  void start() override;
  void close(const Error& reason) override;

 private:
  struct Page {
    unsigned status = 200;
    std::string text;
    const char* type = "text/plain; charset=utf-8";
  };

  void open();
  void read();
  void on_read(const boost::system::error_code& error, std::size_t bytes);
  [[nodiscard]] Page page_for(const HttpHead& head) const;
  [[nodiscard]] Page page_at(std::string_view path) const;
  void answer(const Page& page, bool without_body);
  void on_sent(int error);
  void end();

  const std::shared_ptr<const Service> service_;
  const std::shared_ptr<asio::io_context> context_;
  const std::unique_ptr<ByteStream> stream_;
  const Gone gone_;
  const bool has_room_;
  HttpReader reader_;
  HttpSender sender_;
  std::array<std::byte, 1024> rubbish_;  // What comes after the head.
  bool has_answered_ = false;
  std::atomic<bool> closed_{false};
  asio::steady_timer timer_;
};

}  // namespace splitnet::detail
