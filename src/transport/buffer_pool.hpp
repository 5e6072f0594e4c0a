// SPDX-License-Identifier: Apache-2.0
// Receive buffers that are used again. Private to the transports.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "byte_budget.hpp"
#include "splitnet/tensor.hpp"

namespace splitnet::detail {

/// A large message in fresh memory costs a page fault and a zeroed page per 4 KiB, several times the cost
/// of receiving it. So a buffer comes back here when its last tensor goes, and at most `max_bytes` wait
/// for the next message. Thread-safe.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  explicit BufferPool(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// `bytes` uninitialised bytes on a 64-byte boundary, which count against `budget`, if there is one, until the last
  /// tensor in them goes. Throws std::bad_alloc, overloaded.
  Storage take(std::size_t bytes, std::shared_ptr<ByteBudget> budget = nullptr);

 private:
  struct Buffer {
    std::byte* data = nullptr;
    std::size_t capacity = 0;
  };
  Storage take_unbounded(std::size_t bytes);
  Buffer take_kept(std::size_t bytes);
  void give_back(Buffer buffer) noexcept;
  static void free(Buffer buffer) noexcept;

  const std::size_t max_bytes_;
  std::mutex mutex_;
  std::vector<Buffer> kept_;  // Oldest first; a handful.
  std::size_t kept_bytes_ = 0;
};

}  // namespace splitnet::detail
