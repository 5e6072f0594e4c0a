// SPDX-License-Identifier: Apache-2.0
// What a listener knows of somebody who has connected. Private.
#pragma once

#include <functional>

#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Runs by itself from `start` until it has told its listener that it is gone.
class AcceptedPeer {
 public:
  using Gone = std::function<void(const AcceptedPeer*)>;

  virtual ~AcceptedPeer() = default;
  /// Any thread, once.
  virtual void start() = 0;
  /// Any thread; idempotent.
  virtual void close(const Error& reason) = 0;
};

}  // namespace splitnet::detail
