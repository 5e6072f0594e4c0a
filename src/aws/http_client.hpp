// SPDX-License-Identifier: Apache-2.0
// Requests to the services of AWS, by libcurl.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "aws/spare_texts.hpp"
#include "splitnet/error.hpp"
#include "splitnet/transport.hpp"

namespace splitnet::detail {

using HttpHeader = std::pair<std::string, std::string>;

struct HttpRequest {
  std::string method = "POST";
  std::string url;
  std::vector<HttpHeader> headers = {};
  std::shared_ptr<const std::string> body = {};  ///< None: an empty one. Shared, for a request that is sent again.
  std::size_t max_reply_bytes = std::size_t{64} << 20;
  /// A peer that neither takes nor sends a byte for so long has gone. Zero: it may think as long as it likes.
  std::chrono::seconds stall_timeout{0};
};

inline std::shared_ptr<const std::string> body_of(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

struct HttpReply {
  int status = 0;
  std::vector<HttpHeader> headers;  ///< Names in lower case.
  std::string body;

  /// Empty: there is none. `name` in lower case.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

struct HttpClientOptions {
  std::string ca_file = {};  ///< Certificates of authorities, as PEM; empty: those of the system.
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(5);
  /// A peer whose machine has not acknowledged anything for so long counts as gone, also while it thinks. Zero: none
  /// does.
  std::chrono::nanoseconds dead_peer_timeout = std::chrono::seconds(10);
  /// Those of the environment (https_proxy, no_proxy and so on).
  bool uses_proxies = true;
};

/// Keeps its connections. Follows no redirects: a signature is for one place. Thread-safe; the destructor ends what is
/// under way with `cancelled`, and may run in a completion.
class HttpClient {
 public:
  using Result = std::variant<HttpReply, Error>;
  using Done = std::function<void(Result)>;

  /// Throws internal (no thread, or libcurl can't be set up).
  explicit HttpClient(HttpClientOptions options = {});
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// `done` runs once, on the client's thread, and must not block: with a reply of whatever status, or invalid_argument
  /// (a bad URL, a header with an end of line in it), unavailable (nobody there, the connection is lost, the peer
  /// stands still), unauthenticated (a certificate that is not trusted), deadline_exceeded, cancelled, too_large (a
  /// reply), overloaded (no memory). If it throws, it has done nothing yet: it runs once more, with overloaded.
  void send(HttpRequest request, Deadline deadline, std::stop_token stop, Done done);
  /// Replies take their memory from here; give it back when their bodies are done with, and large ones come quicker.
  [[nodiscard]] SpareTexts& texts() noexcept { return *texts_; }
  /// Waits for it. Throws the errors of `send`.
  HttpReply send_and_wait(HttpRequest request, Deadline deadline);

 private:
  class Impl;
  const std::shared_ptr<SpareTexts> texts_ = std::make_shared<SpareTexts>();
  std::shared_ptr<Impl> impl_;
};

}  // namespace splitnet::detail
