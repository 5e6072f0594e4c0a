// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: whatever a peer writes into its ring, its arena and its offer, it gives a message or an Error.
// The first byte says what the others are: 0 a ring, 1 a message with extents (below), else an offer.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fuzz_checks.hpp"
#include "message_body.hpp"
#include "message_wire.hpp"
#include "transport/shm_frame.hpp"
#include "transport/shm_handshake.hpp"

namespace {

using splitnet::testing::require;
using splitnet::testing::small_limits;
using namespace splitnet;  // NOLINT(google-build-using-namespace)
using Bytes = std::span<const std::byte>;

constexpr std::size_t kArenaBytes = 64 * 1024;

void require_promised(const Error& error) {
  require(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::too_large ||
              error.code() == ErrorCode::incompatible,
          "refused with a code that is not promised");
}

/// As the channel does, but for loans.
void use(const detail::ShmFrameReader::Frame& frame, const Storage& arena) {
  require(frame.rest.size() == frame.extents.size() + 1, "parts of the rest do not fit the extents");
  detail::MessageBody body;
  for (std::size_t i = 0; i < frame.extents.size(); ++i) {
    const auto& extent = frame.extents[i];
    require(extent.arena_offset + extent.bytes <= arena.size_bytes(), "an extent outside of the arena");
    body.append(frame.rest[i]);
    body.append(arena.slice(extent.arena_offset, extent.bytes));
  }
  body.append(frame.rest.back());
  try {
    const auto message = detail::decode(frame.header_bytes, body, small_limits());
    for (const auto& value : message.values) {
      for_each_tensor(value, [](const Tensor& tensor) { tensor.validate(); });
    }
  } catch (const Error& error) {
    require_promised(error);
  }
}

void read_ring(Bytes ring, std::size_t step, const Storage& arena) {
  detail::ShmFrameReader reader(small_limits(), arena.size_bytes(), std::make_shared<detail::BufferPool>(0), nullptr);
  try {
    while (!ring.empty()) {
      const auto space = reader.space();
      const std::size_t bytes = std::min({space.size(), ring.size(), step});
      std::copy_n(ring.begin(), bytes, space.begin());
      reader.filled(bytes);
      ring = ring.subspan(bytes);
      if (const auto frame = reader.next()) use(*frame, arena);
      require(!reader.space().empty(), "no space for what follows");
    }
  } catch (const Error& error) {
    require_promised(error);
  }
}

/// One byte, how many extents (0 … 3); the extents; a message, whose header is repaired so that the checks behind it
/// are reached. What the extents name is moved into the arena.
std::vector<std::byte> ring_with_message(Bytes input, const Storage& arena) {
  if (input.empty()) return {};
  std::vector<detail::ShmExtent> extents(std::to_integer<std::size_t>(input[0]) % 4);
  const std::size_t begin = 1 + extents.size() * sizeof(detail::ShmExtent);
  if (input.size() < begin + message_header_bytes) return {};
  if (!extents.empty()) std::memcpy(extents.data(), input.data() + 1, extents.size() * sizeof(detail::ShmExtent));
  std::vector<std::byte> message(input.begin() + static_cast<std::ptrdiff_t>(begin), input.end());
  detail::repair_header(message);
  const auto body = Bytes(message).subspan(message_header_bytes);

  const std::array<std::uint32_t, 2> words{static_cast<std::uint32_t>(extents.size()), 0};
  std::vector<std::byte> ring;
  const auto add = [&ring](Bytes bytes) { ring.insert(ring.end(), bytes.begin(), bytes.end()); };
  add(std::as_bytes(std::span(words)));
  add(Bytes(message).first(message_header_bytes));
  add(std::as_bytes(std::span(extents)));
  std::size_t at = 0;
  for (const auto& extent : extents) {
    if (extent.body_begin < at || extent.body_begin > body.size() || extent.bytes > body.size() - extent.body_begin)
      break;
    if (extent.arena_offset > arena.size_bytes() || extent.bytes > arena.size_bytes() - extent.arena_offset) break;
    add(body.subspan(at, extent.body_begin - at));
    std::copy_n(body.begin() + static_cast<std::ptrdiff_t>(extent.body_begin), extent.bytes,
                arena.data() + extent.arena_offset);
    at = extent.body_begin + extent.bytes;
  }
  add(body.subspan(at));
  return ring;
}

void read_offer(Bytes bytes) {
  try {
    const auto offer = detail::parse_offer(bytes);
    offer.layout.check(std::uint64_t{1} << 30);
    require(offer.layout.total_bytes() <= (std::uint64_t{1} << 30) + (std::uint64_t{32} << 20), "a layout without end");
    const auto again = detail::parse_offer(detail::write_offer(offer));
    require(again.layout == offer.layout && again.error.has_value() == offer.error.has_value(),
            "an offer changed on its second way");
  } catch (const Error& error) {
    require_promised(error);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static const Storage arena = Storage::allocate(kArenaBytes);
  std::memset(arena.data(), 0, arena.size_bytes());
  const Bytes input(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  switch (data[0]) {
    case 0: read_ring(input, 1 + data[1], arena); break;
    case 1: read_ring(ring_with_message(input, arena), kArenaBytes, arena); break;
    default: read_offer(input);
  }
  return 0;
}
