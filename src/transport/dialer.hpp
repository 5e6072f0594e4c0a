// SPDX-License-Identifier: Apache-2.0
// Opens roads to one endpoint, the first time and after each loss. Private.
#pragma once

#include <functional>
#include <memory>
#include <variant>

#include "asio.hpp"
#include "channel.hpp"

namespace splitnet::detail {

/// All on one context's thread.
class Dialer {
 public:
  using Done = std::function<void(std::variant<std::shared_ptr<Channel>, Error>)>;

  virtual ~Dialer() = default;
  /// Ends with a channel that is not started yet, or with unavailable, deadline_exceeded (`until` passed),
  /// unauthenticated. One at a time.
  virtual void dial(std::chrono::steady_clock::time_point until, Done done) = 0;
  /// What is under way ends soon, with an error.
  virtual void cancel() = 0;
};

using MakeDialer = std::function<std::shared_ptr<Dialer>(const std::shared_ptr<asio::io_context>& context)>;

}  // namespace splitnet::detail
