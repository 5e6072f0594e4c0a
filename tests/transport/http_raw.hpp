// SPDX-License-Identifier: Apache-2.0
// HTTP written and read by hand, right and wrong.
#pragma once

#include <string>
#include <vector>

#include "raw_peer.hpp"
#include "splitnet/testing/transport_tools.hpp"

namespace splitnet::testing {

inline std::string bytes_of(const Message& message) {
  const auto bytes = encode(message).join();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size_bytes()};
}

inline std::string good_message(std::uint64_t id = 9, std::vector<Value> values = {iota_u8(1000)}) {
  auto request = request_with(std::move(values));
  request.id = id;
  return bytes_of(request);
}

/// `fields`: whole lines.
inline std::string post(const std::string& body, const std::string& fields = "", const std::string& path = "/") {
  return "POST " + path + " HTTP/1.1\r\nHost: here\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         fields + "\r\n" + body;
}

/// In chunks of `size` bytes, with extensions where they are not longer than the chunks, and a trailer.
inline std::string chunked_post(const std::string& body, std::size_t size) {
  std::string text = "POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += size) {
    const auto part = body.substr(at, size);
    char length[32];
    (void)std::snprintf(length, sizeof length, size > 60 ? "%zx;of=%zu\r\n" : "%zx\r\n", part.size(), at);
    text += length + part + "\r\n";
  }
  return text + "0\r\nTrailer: ignored\r\n\r\n";
}

struct RawResponse {
  int status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] bool has(const std::string& line) const { return head.find("\r\n" + line) != std::string::npos; }
  /// Throws when it is none.
  [[nodiscard]] Message message() const { return decode(std::as_bytes(std::span(body))); }
};

/// All responses in `text`; what follows the last whole one is dropped.
inline std::vector<RawResponse> responses_in(const std::string& text) {
  std::vector<RawResponse> responses;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find("\r\n\r\n", at);
    if (end == std::string::npos) break;
    RawResponse response;
    response.head = text.substr(at, end + 2 - at);
    response.status = std::stoi(response.head.substr(9, 3));
    const auto length = response.head.find("Content-Length: ");
    const auto bytes = length == std::string::npos ? 0 : std::stoul(response.head.substr(length + 16));
    if (text.size() - end - 4 < bytes) break;
    response.body = text.substr(end + 4, bytes);
    at = end + 4 + response.body.size();
    responses.push_back(std::move(response));
  }
  return responses;
}

/// Reads until `count` responses are there, or the peer has closed.
inline std::vector<RawResponse> read_responses(const RawPeer& peer, std::size_t count) {
  std::string text;
  for (;;) {
    const auto responses = responses_in(text);
    if (responses.size() >= count) return responses;
    pollfd waiting{peer.descriptor(), POLLIN, 0};
    char part[4096];
    if (::poll(&waiting, 1, 20'000) <= 0) return responses;
    const auto got = ::recv(peer.descriptor(), part, sizeof part, 0);
    if (got <= 0) return responses;
    text.append(part, static_cast<std::size_t>(got));
  }
}

/// One response with an error message, and then the end.
inline void expect_refusal(const RawPeer& peer, int status, ErrorCode code) {
  const auto text = peer.read_to_end();
  ASSERT_TRUE(text) << "the connection stays open";
  const auto responses = responses_in(*text);
  ASSERT_EQ(responses.size(), 1U) << *text;
  EXPECT_EQ(responses[0].status, status) << *text;
  EXPECT_TRUE(responses[0].has("Connection: close"));
  const auto message = responses[0].message();
  EXPECT_EQ(message.kind, MessageKind::error);
  EXPECT_EQ(message.error, code) << message.error_message;
}

}  // namespace splitnet::testing
