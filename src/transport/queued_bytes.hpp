// SPDX-License-Identifier: Apache-2.0
// The calling side: bytes of requests that wait to be sent. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "byte_budget.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

/// Thread-safe.
class QueuedBytes {
 public:
  /// `endpoint` is named by errors.
  QueuedBytes(std::string endpoint, std::size_t max_bytes)
      : endpoint_(std::move(endpoint)), budget_(std::make_shared<ByteBudget>(max_bytes)) {}

  /// Counts until the last handle goes. Throws overloaded: there are too many with these.
  [[nodiscard]] std::shared_ptr<void> count(std::size_t bytes) {
    if (!budget_->take(bytes)) {
      throw Error(ErrorCode::overloaded, "call to '" + endpoint_ + "': " + std::to_string(bytes) +
                                             " bytes would exceed the " + std::to_string(budget_->max_bytes()) +
                                             " that may wait");
    }
    return {this, [budget = budget_, bytes](void*) { budget->give_back(bytes); }};
  }

 private:
  const std::string endpoint_;
  const std::shared_ptr<ByteBudget> budget_;
};

}  // namespace splitnet::detail
