// SPDX-License-Identifier: Apache-2.0
// Peers of stream transports that speak bytes, right and wrong ones.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "splitnet/message.hpp"

namespace splitnet::testing {

/// The socket address of tcp://127.0.0.1:PORT, unix:///PATH and unix://@NAME.
class RawAddress {
 public:
  explicit RawAddress(const std::string& uri) {
    if (!uri.starts_with("unix://")) {
      auto& in = reinterpret_cast<sockaddr_in&>(storage_);
      in.sin_family = AF_INET;
      in.sin_port = htons(static_cast<std::uint16_t>(std::stoi(uri.substr(uri.rfind(':') + 1))));
      in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size_ = sizeof in;
      return;
    }
    auto& un = reinterpret_cast<sockaddr_un&>(storage_);
    std::string path = uri.substr(7);
    if (path.front() == '@') path.front() = '\0';
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), path.size());
    size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path.front() == '\0' ? 0 : 1));
  }
  int family() const { return storage_.ss_family; }
  sockaddr* data() { return reinterpret_cast<sockaddr*>(&storage_); }
  socklen_t* size() { return &size_; }
  std::string to_uri(const std::string& uri) const {
    if (family() == AF_UNIX) return uri;
    return uri.substr(0, uri.rfind(':') + 1) +
           std::to_string(ntohs(reinterpret_cast<const sockaddr_in&>(storage_).sin_port));
  }

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

class RawPeer {
 public:
  explicit RawPeer(const std::string& uri) {
    RawAddress address(uri);
    descriptor_ = ::socket(address.family(), SOCK_STREAM, 0);
    connected_ = ::connect(descriptor_, address.data(), *address.size()) == 0;
  }
  ~RawPeer() { ::close(descriptor_); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  bool connected() const { return connected_; }
  int descriptor() const { return descriptor_; }
  void send(const void* data, std::size_t size) const { (void)!::send(descriptor_, data, size, MSG_NOSIGNAL); }
  void send(const std::string& text) const { send(text.data(), text.size()); }
  void send(const Storage& bytes) const { send(bytes.data(), bytes.size_bytes()); }
  void send(const Message& message) const { send(encode(message).join()); }

  /// Everything until the peer closes; nothing when it has not within the time.
  std::optional<std::string> read_to_end(std::chrono::milliseconds time = std::chrono::seconds(20)) const {
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
  int descriptor_ = -1;
  bool connected_ = false;
};

/// Accepts one connection and hands it to `behave`.
class BadServer {
 public:
  BadServer(const std::string& uri, std::function<void(int)> behave) {
    RawAddress address(uri);
    descriptor_ = ::socket(address.family(), SOCK_STREAM, 0);
    EXPECT_EQ(::bind(descriptor_, address.data(), *address.size()), 0);
    EXPECT_EQ(::listen(descriptor_, 4), 0);
    EXPECT_EQ(::getsockname(descriptor_, address.data(), address.size()), 0);
    address_ = address.to_uri(uri);
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
  int descriptor_ = -1;
  std::string address_;
  std::thread thread_;
};

}  // namespace splitnet::testing
