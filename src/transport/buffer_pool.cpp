// SPDX-License-Identifier: Apache-2.0
#include "buffer_pool.hpp"

#include <new>
#include <string>
#include <utility>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

constexpr std::align_val_t kAlignment{4096};
// Below this the general allocator keeps memory warm by itself.
constexpr std::size_t kSmallestPooled = 32 * 1024;
// Capacities are multiples of this, so that messages of about one size share buffers.
constexpr std::size_t kGranularity = 64 * 1024;
constexpr std::size_t kMostKept = 64;

}  // namespace

BufferPool::~BufferPool() {
  for (const auto& buffer : kept_) free(buffer);
}

void BufferPool::free(Buffer buffer) noexcept {
  ::operator delete(buffer.data, kAlignment);
}

BufferPool::Buffer BufferPool::take_kept(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  // The youngest that fits and is not twice too large: it is the warmest in the cache.
  for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) {
    if (it->capacity < bytes || it->capacity / 2 > bytes + kGranularity) continue;
    const Buffer buffer = *it;
    kept_.erase(std::next(it).base());
    kept_bytes_ -= buffer.capacity;
    return buffer;
  }
  return {};
}

Storage BufferPool::take(std::size_t bytes, std::shared_ptr<ByteBudget> budget) {
  if (!budget) return take_unbounded(bytes);
  if (!budget->take(bytes)) {
    throw Error(ErrorCode::overloaded, "message: a body of " + std::to_string(bytes) + " bytes, while " +
                                           std::to_string(budget->taken_bytes()) + " of the " +
                                           std::to_string(budget->max_bytes()) + " for all connections are in use");
  }
  Storage inner;
  try {
    inner = take_unbounded(bytes);
  } catch (...) {
    budget->give_back(bytes);
    throw;
  }
  std::byte* const data = inner.data();
  std::shared_ptr<void> owner(data, [inner = std::move(inner), budget = std::move(budget), bytes](void*) mutable {
    inner = {};  // First the memory, then the right to take as much.
    budget->give_back(bytes);
  });
  return Storage::adopt(data, bytes, std::move(owner));
}

Storage BufferPool::take_unbounded(std::size_t bytes) {
  if (bytes < kSmallestPooled || bytes > max_bytes_) return Storage::allocate(bytes);
  Buffer buffer = take_kept(bytes);
  if (buffer.data == nullptr) {
    buffer.capacity = (bytes + kGranularity - 1) / kGranularity * kGranularity;
    buffer.data = static_cast<std::byte*>(::operator new(buffer.capacity, kAlignment));
  }
  std::shared_ptr<void> owner(buffer.data, [weak = weak_from_this(), buffer](void*) {
    if (auto pool = weak.lock()) {
      pool->give_back(buffer);
    } else {
      free(buffer);
    }
  });
  return Storage::adopt(buffer.data, bytes, std::move(owner));
}

void BufferPool::give_back(Buffer buffer) noexcept {
  {
    const std::lock_guard lock(mutex_);
    try {
      if (buffer.capacity <= max_bytes_) {
        // Make room at the old end: sizes that are no longer asked for go first.
        while (!kept_.empty() && (kept_bytes_ + buffer.capacity > max_bytes_ || kept_.size() >= kMostKept)) {
          kept_bytes_ -= kept_.front().capacity;
          free(kept_.front());
          kept_.erase(kept_.begin());
        }
        kept_.push_back(buffer);
        kept_bytes_ += buffer.capacity;
        return;
      }
    } catch (...) {  // push_back found no memory: then keeping buffers is the wrong thing anyway.
    }
  }
  free(buffer);
}

}  // namespace splitnet::detail
