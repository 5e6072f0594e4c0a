// SPDX-License-Identifier: Apache-2.0
/// \file
/// An HTTP server on the loopback that answers as a test says.
#pragma once

#include "transport/asio.hpp"  // The first of what is Boost's.

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace splitnet::testing {

/// Each connection has a thread, and any number of requests one after the other.
class ScriptedServer {
 public:
  using Request = boost::beast::http::request<boost::beast::http::string_body>;
  using Response = boost::beast::http::response<boost::beast::http::string_body>;
  /// Who asks.
  class Peer {
   public:
    explicit Peer(int socket) : socket_(socket) {}
    [[nodiscard]] bool has_gone() const {
      char byte = 0;
      const auto got = ::recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
      return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    }

   private:
    const int socket_;
  };
  /// Called on several threads. Nothing: the connection is closed without an answer.
  using Script = std::function<std::optional<Response>(const Request&)>;
  using PeerScript = std::function<std::optional<Response>(const Request&, const Peer&)>;

  explicit ScriptedServer(Script script)
      : ScriptedServer([script = std::move(script)](const Request& request, const Peer&) { return script(request); }) {}
  /// `port`: zero chooses one.
  explicit ScriptedServer(PeerScript script, std::uint16_t port = 0)
      : script_(std::move(script)), acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), port}) {
    thread_ = std::thread([this] { accept(); });
  }
  ~ScriptedServer() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      for (auto& socket : sockets_) ::shutdown(socket->native_handle(), SHUT_RDWR);
    }
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    thread_.join();
    for (std::thread& peer : peers_) peer.join();
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  static Response reply(int status, std::string body) {
    Response response(boost::beast::http::int_to_status(static_cast<unsigned>(status)), 11);
    response.body() = std::move(body);
    return response;
  }

 private:
  using Socket = boost::asio::ip::tcp::socket;

  void accept() {
    for (;;) {
      boost::system::error_code failed;
      auto socket = std::make_shared<Socket>(io_);
      acceptor_.accept(*socket, failed);
      const std::lock_guard lock(mutex_);
      if (failed || closed_) return;
      sockets_.push_back(socket);
      peers_.emplace_back([this, socket] { serve(*socket); });
    }
  }

  void serve(Socket& socket) const {
    boost::beast::flat_buffer buffer;
    boost::system::error_code failed;
    while (!failed) {
      boost::beast::http::request_parser<boost::beast::http::string_body> parser;
      parser.body_limit(std::uint64_t{64} << 20);
      boost::beast::http::read(socket, buffer, parser, failed);
      if (failed) return;
      const Request request = parser.release();
      auto response = script_(request, Peer(socket.native_handle()));
      if (!response) {
        ::shutdown(socket.native_handle(), SHUT_RDWR);
        return;
      }
      response->prepare_payload();
      boost::beast::http::write(socket, *response, failed);
    }
  }

  const PeerScript script_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::mutex mutex_;
  bool closed_ = false;                           // Under the lock.
  std::vector<std::shared_ptr<Socket>> sockets_;  // Under the lock.
  std::vector<std::thread> peers_;                // Of `thread_`, then of the destructor.
  std::thread thread_;
};

}  // namespace splitnet::testing
