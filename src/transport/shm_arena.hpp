// SPDX-License-Identifier: Apache-2.0
// Which bytes of an arena are in use. Knows nothing of other processes. Private to the shm transport.
#pragma once

#include <array>
#include <cstddef>
#include <functional>

namespace splitnet::detail {

/// Deals out blocks of whole pages. What it knows lies in memory of its own, never in the arena, where the arena's
/// readers are not to be trusted with it and its writers make mistakes. Not thread-safe.
///
/// A block that is freed stays warm, its pages in memory, for the next one of its size: a page that is not there costs
/// a fault and 4 KiB of zeros. Beyond `kept_bytes` of warm blocks the pages are dropped.
class ShmArena {
 public:
  struct Block {
    std::size_t offset = 0;
    std::size_t bytes = 0;

   private:
    friend class ShmArena;
    bool is_free = false;
    bool is_warm = false;
    Block* lower = nullptr;  // Its neighbours in the arena.
    Block* upper = nullptr;
    Block* previous = nullptr;  // In the list of free ones.
    Block* next = nullptr;
  };
  using Drop = std::function<void(std::size_t offset, std::size_t bytes)>;

  /// `drop` gives pages back to the system; does not throw. `bytes` and all offsets are multiples of `page_bytes`.
  ShmArena(std::size_t bytes, std::size_t kept_bytes, std::size_t page_bytes, Drop drop);
  ~ShmArena();
  ShmArena(const ShmArena&) = delete;
  ShmArena& operator=(const ShmArena&) = delete;

  /// Null when there is no room. At least `bytes`, which is not 0. Throws std::bad_alloc.
  Block* allocate(std::size_t bytes);
  void free(Block* block) noexcept;
  /// From now on nothing is allocated any more, and what is freed keeps its pages: others may still read it.
  void retire() noexcept { is_retired_ = true; }

  [[nodiscard]] std::size_t used_bytes() const noexcept { return used_bytes_; }
  /// Of free blocks.
  [[nodiscard]] std::size_t warm_bytes() const noexcept { return warm_bytes_; }

 private:
  /// Free blocks by temperature and by the power of two that their number of pages reaches.
  using List = Block*;
  static constexpr std::size_t size_classes = 48;

  [[nodiscard]] std::size_t class_of(std::size_t bytes) const noexcept;
  [[nodiscard]] List& list_of(const Block& block) noexcept;
  void link(Block* block) noexcept;
  void unlink(Block* block) noexcept;
  [[nodiscard]] Block* find(bool warm, std::size_t bytes) const noexcept;
  Block* take(Block* block, std::size_t bytes);
  void cool(Block* block) noexcept;
  bool cool_all() noexcept;
  Block* merge(Block* block) noexcept;

  const std::size_t kept_bytes_;
  const std::size_t page_bytes_;
  const Drop drop_;
  Block* first_ = nullptr;
  std::array<std::array<List, size_classes>, 2> free_{};  // Cold, warm.
  std::size_t used_bytes_ = 0;
  std::size_t warm_bytes_ = 0;
  bool is_retired_ = false;
};

}  // namespace splitnet::detail
