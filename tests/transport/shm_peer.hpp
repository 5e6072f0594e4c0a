// SPDX-License-Identifier: Apache-2.0
// A side of an shm connection that does what a test says, right or wrong.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "message_body.hpp"
#include "splitnet/testing/transport_tools.hpp"
#include "transport/shm_endpoint.hpp"
#include "transport/shm_frame.hpp"
#include "transport/shm_handshake.hpp"
#include "transport/shm_ring.hpp"

namespace splitnet::testing {

using namespace std::chrono_literals;

/// Other processes that run the tests have other names.
inline std::string shm_name(const std::string& name) {
  return "shm://test-" + std::to_string(::getpid()) + "-" + name;
}

inline bool wait_until(const std::function<bool()>& holds, std::chrono::nanoseconds time = 20s) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

inline bool has_input(int socket, std::chrono::milliseconds time = 20s) {
  pollfd waiting{socket, POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(time.count())) > 0;
}

/// True when the peer has closed its end; bytes that came before are thrown away.
inline bool is_closed(int socket, std::chrono::milliseconds time = 20s) {
  char rubbish[4096];
  while (has_input(socket, time)) {
    if (::recv(socket, rubbish, sizeof rubbish, MSG_DONTWAIT) <= 0) return true;
  }
  return false;
}

inline detail::Descriptor connect_raw(const std::string& endpoint) {
  detail::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = detail::parse_shm_endpoint(endpoint).endpoint();
  EXPECT_EQ(::connect(socket.get(), address.data(), static_cast<socklen_t>(address.size())), 0);
  return socket;
}

inline detail::Descriptor listen_raw(const std::string& endpoint) {
  detail::Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = detail::parse_shm_endpoint(endpoint).endpoint();
  EXPECT_EQ(::bind(socket.get(), address.data(), static_cast<socklen_t>(address.size())), 0);
  EXPECT_EQ(::listen(socket.get(), 4), 0);
  return socket;
}

/// A message as it lies in a ring. What `extents` name is left out.
inline std::vector<std::byte> frame_of(const Storage& message, const std::vector<detail::ShmExtent>& extents = {}) {
  const std::array<std::uint32_t, 2> words{static_cast<std::uint32_t>(extents.size()), 0};
  std::vector<std::byte> frame;
  const auto add = [&](const void* data, std::size_t bytes) {
    const auto* const first = static_cast<const std::byte*>(data);
    frame.insert(frame.end(), first, first + bytes);
  };
  add(words.data(), sizeof words);
  add(message.data(), message_header_bytes);
  add(extents.data(), extents.size() * sizeof(detail::ShmExtent));
  std::size_t at = message_header_bytes;
  for (const auto& extent : extents) {
    const std::size_t begin = message_header_bytes + extent.body_begin;
    if (begin < at || begin + extent.bytes > message.size_bytes()) continue;  // Wrong on purpose.
    add(message.data() + at, begin - at);
    at = begin + extent.bytes;
  }
  add(message.data() + at, message.size_bytes() - at);
  return frame;
}

inline Storage encoded(Message message, std::uint64_t id) {
  message.id = id;
  return encode(message, false).join();
}

/// After the handshake.
struct ShmSide {
  detail::Descriptor socket;
  std::shared_ptr<detail::OwnShmMemory> own;
  std::shared_ptr<const detail::PeerShmMemory> theirs;
  detail::ShmRingWriter writer;
  detail::ShmRingReader reader;
  detail::ShmFrameReader frames;

  ShmSide(detail::Descriptor to, std::shared_ptr<detail::OwnShmMemory> memory,
          std::shared_ptr<const detail::PeerShmMemory> peer)
      : socket(std::move(to)),
        own(std::move(memory)),
        theirs(std::move(peer)),
        writer(own, theirs),
        reader(own, theirs),
        frames({}, theirs->layout().arena_bytes, std::make_shared<detail::BufferPool>(0), nullptr) {}

  void wake() const { (void)!::send(socket.get(), &detail::shm_wake_byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT); }
  void write(std::span<const std::byte> bytes) {
    writer.write(bytes);
    (void)writer.publish();
    wake();
  }
  /// The body of the only storage of a message goes into the arena.
  detail::ShmExtent lend(const Storage& message, std::uint64_t arena_offset, std::uint32_t loan) const {
    const auto header = decode_header(std::span<const std::byte, message_header_bytes>(message.data(), 64));
    const std::size_t begin = (header.metadata_bytes + 63) / 64 * 64;
    const std::size_t bytes = header.body_bytes() - begin;
    std::memcpy(own->arena().data() + arena_offset, message.data() + message_header_bytes + begin, bytes);
    return {begin, bytes, arena_offset, loan, 0};
  }
  /// The next message from the other side; its payload is copied.
  std::optional<Message> next_message(std::chrono::nanoseconds time = 20s) {
    std::optional<detail::ShmFrameReader::Frame> frame;
    const auto arrived = wait_until(
        [&] {
          for (std::size_t bytes = 1; bytes > 0;) {
            bytes = reader.read(frames.space());
            frames.filled(bytes);
            frame = frames.next();
            (void)reader.publish();
            if (frame) return true;
          }
          return false;
        },
        time);
    if (!arrived) return std::nullopt;
    detail::MessageBody body;
    for (std::size_t i = 0; i < frame->extents.size(); ++i) {
      body.append(frame->rest[i]);
      const auto& extent = frame->extents[i];
      auto copy = Storage::allocate(extent.bytes);
      std::memcpy(copy.data(), theirs->arena().data() + extent.arena_offset, extent.bytes);
      body.append(copy);
      give_back(extent.loan);
    }
    body.append(frame->rest.back());
    return detail::decode(frame->header_bytes, body, {});
  }
  void give_back(std::uint32_t loan) {
    own->returned()[returned % detail::shm_max_loans] = loan;
    own->control().returned.value = ++returned;
  }
  void expect_error(ErrorCode code) {
    const auto message = next_message();
    ASSERT_TRUE(message) << "no answer";
    EXPECT_EQ(message->kind, MessageKind::error);
    EXPECT_EQ(message->error, code) << message->error_message;
  }

  std::uint64_t returned = 0;
};

inline detail::ShmLayout small_layout() {
  detail::ShmLayout layout;
  layout.arena_bytes = 1 << 20;
  return layout;
}

/// As a side that connects should.
inline ShmSide connect_side(const std::string& endpoint) {
  auto socket = connect_raw(endpoint);
  auto own = std::make_shared<detail::OwnShmMemory>(small_layout());
  detail::send_offer(socket.get(), {own->layout(), std::nullopt}, own->take_descriptor());
  EXPECT_TRUE(has_input(socket.get()));
  const auto answer = detail::receive_offer(socket.get());
  if (answer.offer.error) throw *answer.offer.error;
  auto theirs = std::make_shared<detail::PeerShmMemory>(answer.memory, answer.offer.layout);
  return {std::move(socket), std::move(own), std::move(theirs)};
}

/// As a side that listens should.
inline ShmSide accept_side(const detail::Descriptor& listener) {
  detail::Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(has_input(socket.get()));
  const auto offer = detail::receive_offer(socket.get());
  auto theirs = std::make_shared<detail::PeerShmMemory>(offer.memory, offer.offer.layout);
  auto own = std::make_shared<detail::OwnShmMemory>(small_layout());
  detail::send_offer(socket.get(), {own->layout(), std::nullopt}, own->take_descriptor());
  return {std::move(socket), std::move(own), std::move(theirs)};
}

}  // namespace splitnet::testing
