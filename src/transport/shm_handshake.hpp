// SPDX-License-Identifier: Apache-2.0
// How two sides of a shared-memory connection meet: over a Unix socket, with one packet each. Private to the shm
// transport.
//
// The side that connects says what its memory is like and sends a descriptor of it; the other side does the same, or
// says why not. The socket stays open; from then on a byte on it wakes the other side. A token travels later, as on
// other roads.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "byte_stream.hpp"
#include "descriptor.hpp"
#include "shm_memory.hpp"

namespace splitnet::detail {

struct ShmOffer {
  ShmLayout layout;
  std::optional<Error> error;  ///< Of the side that listens: why not; then there is no memory.
};

/// Every offer has this many bytes.
inline constexpr std::size_t shm_offer_bytes = 552;
/// Throws corrupt (the field, what was found, what was expected), incompatible (another version).
ShmOffer parse_offer(std::span<const std::byte> bytes);
std::vector<std::byte> write_offer(const ShmOffer& offer);

/// Never blocks. `memory` may be empty. Throws unavailable (the peer is gone).
void send_offer(int socket, const ShmOffer& offer, const Descriptor& memory);
struct ReceivedOffer {
  ShmOffer offer;
  Descriptor memory;  ///< Empty when the offer says why not.
};
/// What has arrived; never blocks. Throws as parse_offer, corrupt (other than one descriptor), unavailable (the peer is
/// gone), overloaded (too many descriptors are open here).
ReceivedOffer receive_offer(int socket);

/// What a byte on the socket is once the two have met; another one is a fault of the peer.
inline constexpr char shm_wake_byte = 'w';

/// A peer after the handshake.
struct ShmPeer {
  StreamSocket socket;
  std::shared_ptr<OwnShmMemory> own;
  std::shared_ptr<const PeerShmMemory> theirs;
  bool is_trusted = false;  ///< A process of this user or of root.
};

}  // namespace splitnet::detail
