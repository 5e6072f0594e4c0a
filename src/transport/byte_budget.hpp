// SPDX-License-Identifier: Apache-2.0
// Memory that the messages of a listener's peers may take, all together. Private.
#pragma once

#include <atomic>
#include <cstddef>

namespace splitnet::detail {

/// Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// False when there is not so much left.
  [[nodiscard]] bool take(std::size_t bytes) noexcept {
    std::size_t taken = taken_.load();
    do {
      if (bytes > max_bytes_ - taken) return false;
    } while (!taken_.compare_exchange_weak(taken, taken + bytes));
    return true;
  }
  void give_back(std::size_t bytes) noexcept { taken_ -= bytes; }
  [[nodiscard]] std::size_t max_bytes() const noexcept { return max_bytes_; }
  [[nodiscard]] std::size_t taken_bytes() const noexcept { return taken_.load(); }

 private:
  const std::size_t max_bytes_;
  std::atomic<std::size_t> taken_{0};
};

}  // namespace splitnet::detail
