// SPDX-License-Identifier: Apache-2.0
#include "shm_handshake.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace splitnet::detail {
namespace {

constexpr std::array<char, 8> kMagic = {'S', 'P', 'L', 'N', '-', 's', 'h', 'm'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kMaxTextBytes = 512;

/// As it travels; both sides are on one machine.
struct Packet {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t error = 0;  ///< An ErrorCode, or 0.
  std::uint64_t ring_bytes = 0;
  std::uint64_t arena_bytes = 0;
  std::uint32_t text_bytes = 0;  ///< Of what the error says.
  std::uint32_t reserved = 0;
  std::array<char, kMaxTextBytes> text{};
};
static_assert(sizeof(Packet) == shm_offer_bytes && std::is_trivially_copyable_v<Packet>);

[[noreturn]] void corrupt(const std::string& what) {
  throw Error(ErrorCode::corrupt, "shared-memory handshake: " + what);
}

[[noreturn]] void gone(const char* what, int cause) {
  throw Error(ErrorCode::unavailable,
              std::string("shared-memory handshake: ") + what + ": " +
                  (cause == 0 ? "the peer closed" : std::strerror(cause)));  // NOLINT(concurrency-mt-unsafe)
}

/// Room for one descriptor. With padding behind it, there would be room for two.
union OneDescriptor {
  cmsghdr aligned;
  std::array<char, CMSG_LEN(sizeof(int))> bytes;
};

}  // namespace

ShmOffer parse_offer(std::span<const std::byte> bytes) {
  Packet packet;
  constexpr std::size_t version_end = offsetof(Packet, version) + sizeof(Packet::version);
  if (bytes.size() < version_end) {
    corrupt(std::to_string(bytes.size()) + " bytes, expected " + std::to_string(sizeof packet));
  }
  std::memcpy(&packet, bytes.data(), std::min(bytes.size(), sizeof packet));
  if (packet.magic != kMagic) corrupt("the bytes received are not a splitnet offer (wrong magic)");
  if (packet.version != kVersion) {
    throw Error(ErrorCode::incompatible, "shared-memory handshake: version " + std::to_string(packet.version) +
                                             ", expected " + std::to_string(kVersion));
  }
  if (bytes.size() != sizeof packet) {
    corrupt(std::to_string(bytes.size()) + " bytes, expected " + std::to_string(sizeof packet));
  }
  if (packet.text_bytes > packet.text.size() || packet.reserved != 0) {
    corrupt("a text of " + std::to_string(packet.text_bytes) + " bytes, expected at most " +
            std::to_string(packet.text.size()));
  }
  ShmOffer offer{{packet.ring_bytes, packet.arena_bytes}, std::nullopt};
  if (packet.error == 0) {
    if (packet.text_bytes > 0) corrupt("a text without an error");
  } else if (is_error_code(packet.error)) {
    offer.error.emplace(static_cast<ErrorCode>(packet.error), std::string(packet.text.data(), packet.text_bytes));
  } else {
    corrupt("error code " + std::to_string(packet.error) + " is unknown");
  }
  return offer;
}

std::vector<std::byte> write_offer(const ShmOffer& offer) {
  Packet packet;
  packet.ring_bytes = offer.layout.ring_bytes;
  packet.arena_bytes = offer.layout.arena_bytes;
  if (offer.error) {
    const std::string_view text = offer.error->what();
    packet.error = static_cast<std::uint32_t>(offer.error->code());
    packet.text_bytes = static_cast<std::uint32_t>(std::min(text.size(), packet.text.size()));
    std::copy_n(text.begin(), packet.text_bytes, packet.text.begin());
  }
  const auto bytes = std::as_bytes(std::span(&packet, 1));
  return {bytes.begin(), bytes.end()};
}

void send_offer(int socket, const ShmOffer& offer, const Descriptor& memory) {
  auto bytes = write_offer(offer);
  iovec vector{bytes.data(), bytes.size()};
  OneDescriptor control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  if (memory) {
    message.msg_control = &control;
    message.msg_controllen = control.bytes.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = memory.get();
    std::memcpy(CMSG_DATA(header), &number, sizeof number);
  }
  const auto sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) gone("sending", errno);
  // A new socket takes a packet of this size at once.
  if (static_cast<std::size_t>(sent) != bytes.size()) gone("sending", EAGAIN);
}

ReceivedOffer receive_offer(int socket) {
  std::array<std::byte, shm_offer_bytes> bytes{};
  iovec vector{bytes.data(), bytes.size()};
  OneDescriptor control{};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = control.bytes.size();
  const auto got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got <= 0) gone("receiving", got < 0 ? errno : 0);
  ReceivedOffer received;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
      header->cmsg_len == CMSG_LEN(sizeof(int))) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(header), sizeof number);
    received.memory = Descriptor(number);
  }
  received.offer = parse_offer(std::span(bytes).first(static_cast<std::size_t>(got)));
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    if (received.memory) corrupt("more than one descriptor");
    throw Error(ErrorCode::overloaded, "shared-memory handshake: no descriptor is free for the peer's memory");
  }
  if (!received.memory && !received.offer.error) corrupt("no descriptor, expected one of memory");
  return received;
}

}  // namespace splitnet::detail
