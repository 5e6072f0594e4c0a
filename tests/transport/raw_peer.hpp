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
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

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

/// What encrypts the bytes of a raw peer.
class Cipher {
 public:
  virtual ~Cipher() = default;
  /// With the other side; blocks. What fails here is seen by who speaks or listens next.
  virtual void shake_hands(int descriptor) = 0;
  virtual std::string seal(std::string_view plain) = 0;
  virtual std::string open(std::string_view sealed) = 0;
};

/// One end of a connection.
class RawPeer {
 public:
  explicit RawPeer(const std::string& uri, std::unique_ptr<Cipher> cipher = nullptr)
      : RawPeer(connect(uri), std::move(cipher)) {}
  /// Of a connection that is open; closes it in the end.
  RawPeer(int descriptor, std::unique_ptr<Cipher> cipher) : descriptor_(descriptor), cipher_(std::move(cipher)) {
    if (cipher_) cipher_->shake_hands(descriptor_);
  }
  ~RawPeer() { ::close(descriptor_); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  int descriptor() const { return descriptor_; }
  bool is_connected() const {
    sockaddr_storage peer{};
    socklen_t bytes = sizeof peer;
    return ::getpeername(descriptor_, reinterpret_cast<sockaddr*>(&peer), &bytes) == 0;
  }
  /// The bytes that carry `data`: what is not sent must not be followed by others.
  std::string sealed(const void* data, std::size_t size) const {
    const std::string_view plain(static_cast<const char*>(data), size);
    return cipher_ ? cipher_->seal(plain) : std::string(plain);
  }
  void send_sealed(const std::string& bytes) const {
    (void)!::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void send(const void* data, std::size_t size) const { send_sealed(sealed(data, size)); }
  void send(const std::string& text) const { send(text.data(), text.size()); }
  void send(const std::vector<std::byte>& bytes) const { send(bytes.data(), bytes.size()); }
  void send(const Storage& bytes) const { send(bytes.data(), bytes.size_bytes()); }
  void send(const Message& message) const { send(encode(message).join()); }
  /// The other side sees the end, without a farewell.
  void stop_sending() const { ::shutdown(descriptor_, SHUT_WR); }

  /// Waits for something and gives it; empty at the end.
  std::string read_some() const {
    std::string got = opened({});  // It may have come with the handshake.
    while (got.empty()) {
      char part[4096];
      const auto bytes = ::recv(descriptor_, part, sizeof part, 0);
      if (bytes <= 0) return {};
      got = opened({part, static_cast<std::size_t>(bytes)});
    }
    return got;
  }
  /// Everything until the peer closes; nothing when it has not within the time.
  std::optional<std::string> read_to_end(std::chrono::milliseconds time = std::chrono::seconds(20)) const {
    std::string all = opened({});
    const auto until = std::chrono::steady_clock::now() + time;
    for (;;) {
      pollfd waiting{descriptor_, POLLIN, 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) <= 0) return std::nullopt;
      char part[4096];
      const auto got = ::recv(descriptor_, part, sizeof part, 0);
      if (got <= 0) return all;
      all += opened({part, static_cast<std::size_t>(got)});
    }
  }
  /// Every message until the peer closes.
  std::vector<Message> read_messages() const {
    const auto bytes = read_to_end();
    EXPECT_TRUE(bytes) << "the connection stays open";
    std::string left = bytes.value_or("");
    auto messages = take_messages(left);
    EXPECT_EQ(left.size(), 0U) << "part of a message";
    return messages;
  }
  /// So many, or fewer when the peer closes before.
  std::vector<Message> read_messages(std::size_t count) const {
    std::string left;
    std::vector<Message> messages;
    while (messages.size() < count) {
      const auto some = read_some();
      if (some.empty()) break;
      left += some;
      for (auto& message : take_messages(left)) messages.push_back(std::move(message));
    }
    return messages;
  }
  /// Expects one error message and then the end.
  void expect_error(ErrorCode code) const {
    const auto messages = read_messages();
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_EQ(messages[0].kind, MessageKind::error);
    EXPECT_EQ(messages[0].error, code) << messages[0].error_message;
  }

 private:
  static int connect(const std::string& uri) {
    RawAddress address(uri);
    const int descriptor = ::socket(address.family(), SOCK_STREAM, 0);
    (void)::connect(descriptor, address.data(), *address.size());
    return descriptor;
  }
  /// Those that are complete; what is left stays.
  static std::vector<Message> take_messages(std::string& bytes) {
    std::vector<Message> messages;
    auto left = std::as_bytes(std::span(std::string_view(bytes)));
    while (left.size() >= message_header_bytes) {
      const auto header = decode_header(left.first<message_header_bytes>());
      const auto message_bytes = message_header_bytes + header.body_bytes();
      if (left.size() < message_bytes) break;
      messages.push_back(decode(left.first(message_bytes)));
      left = left.subspan(message_bytes);
    }
    bytes.erase(0, bytes.size() - left.size());
    return messages;
  }
  std::string opened(std::string_view sealed) const { return cipher_ ? cipher_->open(sealed) : std::string(sealed); }

  const int descriptor_;
  const std::unique_ptr<Cipher> cipher_;
};

/// Accepts one connection after the other and hands each to `behave`, which may be called `visits` times.
class BadServer {
 public:
  BadServer(const std::string& uri, std::function<void(const RawPeer&)> behave,
            std::function<std::unique_ptr<Cipher>()> make_cipher = nullptr, int visits = 1) {
    RawAddress address(uri);
    descriptor_ = ::socket(address.family(), SOCK_STREAM, 0);
    EXPECT_EQ(::bind(descriptor_, address.data(), *address.size()), 0);
    EXPECT_EQ(::listen(descriptor_, 4), 0);
    EXPECT_EQ(::getsockname(descriptor_, address.data(), address.size()), 0);
    address_ = address.to_uri(uri);
    thread_ = std::thread([this, behave = std::move(behave), make_cipher = std::move(make_cipher), visits] {
      for (int i = 0; i < visits; ++i) {
        behave(RawPeer(::accept(descriptor_, nullptr, nullptr), make_cipher ? make_cipher() : nullptr));
      }
    });
  }
  ~BadServer() {
    thread_.join();
    ::close(descriptor_);
  }
  BadServer(const BadServer&) = delete;
  BadServer& operator=(const BadServer&) = delete;
  const std::string& address() const { return address_; }

 private:
  int descriptor_ = -1;
  std::string address_;
  std::thread thread_;
};

}  // namespace splitnet::testing
