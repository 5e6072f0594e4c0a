// SPDX-License-Identifier: Apache-2.0
// How a message lies in the ring of one side: what refers to its arena, and the bytes that don't. Private to the shm
// transport.
//
//   u32 number of extents, u32 0 | header of the message, 64 bytes | extents | the rest of the body
//
// An extent is a stretch of the body that lies in the arena. What no extent covers follows in the ring, in order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "buffer_pool.hpp"
#include "shm_layout.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

struct ShmExtent {
  std::uint64_t body_begin = 0;    ///< A multiple of tensor_alignment_bytes, like the next but one.
  std::uint64_t bytes = 0;         ///< More than 0.
  std::uint64_t arena_offset = 0;  ///< Where it lies.
  std::uint32_t loan = 0;          ///< To give back; below shm_max_loans.
  std::uint32_t reserved = 0;
  friend bool operator==(const ShmExtent&, const ShmExtent&) = default;
};
static_assert(sizeof(ShmExtent) == 32);

inline constexpr std::size_t shm_frame_head_bytes = 8 + message_header_bytes;
/// Fewer bytes are copied sooner than lent.
inline constexpr std::size_t shm_smallest_loan_bytes = 8 * 1024;

/// Takes messages out of the bytes of a ring, which it gets as copies of its own. Not thread-safe.
class ShmFrameReader {
 public:
  struct Frame {
    MessageHeader header;
    std::array<std::byte, message_header_bytes> header_bytes{};
    std::vector<ShmExtent> extents;  ///< Ascending in the body; they lie in the arena.
    std::vector<Storage> rest;  ///< What is before the first extent, between each two of them, and behind the last.
    std::optional<Error> refused = {};  ///< There was no memory for the rest: its bytes have been thrown away.
  };

  /// `budget` as BufferPool::take.
  ShmFrameReader(const MessageLimits& limits, std::uint64_t arena_bytes, std::shared_ptr<BufferPool> pool,
                 std::shared_ptr<ByteBudget> budget)
      : limits_(limits), arena_bytes_(arena_bytes), pool_(std::move(pool)), budget_(std::move(budget)) {}

  /// Where the next bytes of the ring go; never empty once `next` has returned nothing.
  [[nodiscard]] std::span<std::byte> space() noexcept;
  void filled(std::size_t bytes) noexcept;
  /// A message whose bytes are complete. Throws corrupt, incompatible, too_large; then the ring can't be followed any
  /// further.
  std::optional<Frame> next();

  [[nodiscard]] const MessageLimits& limits() const noexcept { return limits_; }
  /// For the messages whose headers have not been read yet.
  void set_limits(const MessageLimits& limits) noexcept { limits_ = limits; }

  /// Part of a message has come.
  [[nodiscard]] bool in_message() const noexcept { return stage_ != Stage::head || filled_ > 0; }

 private:
  enum class Stage { head, extents, rest };
  void read_head();
  void check_extents() const;
  void make_room();
  void place_rest();
  [[nodiscard]] bool is_complete() noexcept;

  MessageLimits limits_;
  const std::uint64_t arena_bytes_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<ByteBudget> budget_;
  Stage stage_ = Stage::head;
  std::array<std::byte, shm_frame_head_bytes> head_{};
  std::size_t filled_ = 0;      // Of what the stage reads now.
  std::size_t part_ = 0;        // Of the rest.
  std::size_t rest_bytes_ = 0;  // Of a message that is refused: to be thrown away.
  Frame frame_;
};

}  // namespace splitnet::detail
