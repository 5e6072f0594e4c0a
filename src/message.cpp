// SPDX-License-Identifier: Apache-2.0
#include "splitnet/message.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "checked_math.hpp"
#include "message_body.hpp"
#include "message_metadata.hpp"
#include "message_payload.hpp"
#include "message_wire.hpp"
#include "small_vector.hpp"

namespace splitnet {
namespace {

using detail::aligned;

/// What padding and leads are sent from: at most one less than the alignment of each.
constexpr std::array<std::byte, 2 * tensor_alignment_bytes> kZeros{};

std::uint64_t wire_time_left(const Message& message) {
  if (!message.time_left) return detail::no_time_left;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(message.time_left->count(), 0));
}

/// Lengths of the parts of a body, in checked arithmetic.
std::size_t body_bytes_of(std::size_t metadata_bytes, const detail::PayloadPlan& plan, const MessageLimits& limits) {
  if (metadata_bytes > limits.max_metadata_bytes) {
    throw Error(ErrorCode::too_large, "message: " + std::to_string(metadata_bytes) + " bytes of metadata, at most " +
                                          std::to_string(limits.max_metadata_bytes) + " can be sent");
  }
  std::size_t bytes = metadata_bytes;
  for (const auto& storage : plan.storages) bytes = aligned(bytes) + storage.bytes;
  const auto decoded = (detail::CheckedSize(message_header_bytes) + bytes + plan.unpacked_bytes).value();
  if (!decoded || *decoded > limits.max_message_bytes) {
    throw Error(ErrorCode::too_large, "message: " + std::to_string(bytes) + " bytes of metadata and payload and " +
                                          std::to_string(plan.unpacked_bytes) + " to unpack them into, at most " +
                                          std::to_string(limits.max_message_bytes) + " can be sent");
  }
  return bytes;
}

/// A message whose parts are known, but not yet joined.
struct Draft {
  detail::PayloadPlan plan;
  std::vector<std::byte> metadata;
  std::size_t body_bytes = 0;
};

Draft draft_of(const Message& message, const MessageLimits& limits, detail::Gaps gaps) {
  Draft draft;
  if (detail::has_values(message.kind)) draft.plan = detail::plan_payload(message.values, limits, gaps);
  draft.metadata =
      detail::write_metadata(message, detail::span_of(draft.plan.storages), detail::span_of(draft.plan.places), limits);
  draft.body_bytes = body_bytes_of(draft.metadata.size(), draft.plan, limits);
  return draft;
}

/// Header and metadata in one buffer, with the zeros in front of the first payload behind them.
Storage first_buffer(const std::vector<std::byte>& metadata, const detail::PayloadPlan& plan) {
  std::size_t bytes = metadata.size();
  if (!plan.parts.empty()) bytes = aligned(bytes) + plan.parts.front().lead_bytes;
  Storage buffer = Storage::allocate(message_header_bytes + bytes);
  std::memset(buffer.data(), 0, buffer.size_bytes());
  if (!metadata.empty()) std::memcpy(buffer.data() + message_header_bytes, metadata.data(), metadata.size());
  return buffer;
}

std::vector<std::span<const std::byte>> buffers_of(const Storage& first, const detail::PayloadPlan& plan) {
  std::vector<std::span<const std::byte>> buffers;
  buffers.reserve(1 + 2 * plan.parts.size());
  buffers.emplace_back(first.data(), first.size_bytes());
  for (std::size_t i = 0; i < plan.parts.size(); ++i) {
    if (i > 0) {
      const std::size_t before = plan.storages[i - 1].bytes;  // It began on a boundary.
      const std::size_t zeros = aligned(before) - before + plan.parts[i].lead_bytes;
      if (zeros > 0) buffers.emplace_back(kZeros.data(), zeros);
    }
    buffers.push_back(plan.parts[i].bytes);
  }
  return buffers;
}

/// Of the buffers one after the other.
std::uint64_t checksum_of(std::span<const std::span<const std::byte>> buffers) {
  if (buffers.size() == 1) return detail::checksum(buffers.front());
  using State = std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)>;
  thread_local const State state(XXH3_createState(), &XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  for (const auto& buffer : buffers) XXH3_64bits_update(state.get(), buffer.data(), buffer.size());
  return XXH3_64bits_digest(state.get());
}

/// Over everything behind the metadata.
std::uint64_t payload_checksum_of(const EncodedMessage& message, std::size_t metadata_bytes) {
  detail::SmallVector<std::span<const std::byte>, 8> payload(message.buffers.begin(), message.buffers.end());
  payload.front() = payload.front().subspan(message_header_bytes + metadata_bytes);
  return checksum_of(detail::span_of(payload));
}

void check_checksum(std::uint64_t found, std::uint64_t expected, const char* what) {
  if (found == expected) return;
  throw Error(ErrorCode::corrupt, std::string("message: the checksum of the ") + what + " does not fit");
}

void check_body(const detail::MessageBody& body, std::size_t expected_bytes) {
  if (body.size_bytes() != expected_bytes) {
    throw Error(ErrorCode::corrupt, "message: a body of " + std::to_string(body.size_bytes()) +
                                        " bytes, the header says " + std::to_string(expected_bytes));
  }
  if (!body.is_aligned()) {
    throw Error(ErrorCode::invalid_argument, "message: the body does not start on a boundary of 64 bytes");
  }
}

}  // namespace

Message Message::make_error(const Error& error) {
  Message message;
  message.kind = MessageKind::error;
  message.error = error.code();
  message.error_message = error.what();
  message.retry_after_s = error.retry_after_s();
  return message;
}

void Message::throw_if_error() const {
  if (kind == MessageKind::error) throw Error(error, error_message, retry_after_s);
}

Storage EncodedMessage::join() const {
  Storage joined = Storage::allocate(size_bytes);
  std::size_t at = 0;
  for (const auto& buffer : buffers) {
    if (!buffer.empty()) std::memcpy(joined.data() + at, buffer.data(), buffer.size());
    at += buffer.size();
  }
  return joined;
}

EncodedMessage encode(const Message& message, bool payload_checksum, const MessageLimits& limits) {
  auto [plan, metadata, body_bytes] = draft_of(message, limits, detail::Gaps::pack);
  const Storage first = first_buffer(metadata, plan);

  EncodedMessage encoded;
  encoded.buffers = buffers_of(first, plan);
  encoded.size_bytes = message_header_bytes + body_bytes;
  encoded.keep_alive = std::move(plan.keep_alive);
  encoded.keep_alive.push_back(first);

  detail::WireHeader header;
  header.version = detail::version_for(message);
  header.kind = static_cast<std::uint8_t>(message.kind);
  header.id = message.id;
  header.time_left_ns = wire_time_left(message);
  header.metadata_bytes = static_cast<std::uint32_t>(metadata.size());
  header.payload_bytes = body_bytes - metadata.size();
  header.metadata_checksum = detail::checksum(metadata);
  if (payload_checksum) {
    header.flags = detail::payload_checksum_flag;
    header.payload_checksum = payload_checksum_of(encoded, metadata.size());
  }
  detail::write_header(header, std::span<std::byte, message_header_bytes>(first.data(), message_header_bytes));
  return encoded;
}

std::size_t encoded_size_bytes(const Message& message, const MessageLimits& limits) {
  return message_header_bytes + draft_of(message, limits, detail::Gaps::measure).body_bytes;
}

MessageHeader decode_header(std::span<const std::byte, message_header_bytes> header, const MessageLimits& limits) {
  const auto wire = detail::read_header(header, limits);
  return {static_cast<MessageKind>(wire.kind), wire.id, wire.metadata_bytes, wire.payload_bytes};
}

Message detail::decode(std::span<const std::byte, message_header_bytes> header, const MessageBody& body,
                       const MessageLimits& limits) {
  const auto wire = detail::read_header(header, limits);
  check_body(body, wire.metadata_bytes + wire.payload_bytes);
  const auto first = body.find(0, wire.metadata_bytes);
  if (!first) throw Error(ErrorCode::corrupt, "message: its metadata does not lie in one piece");
  const std::span<const std::byte> metadata_bytes(first->data(), wire.metadata_bytes);
  check_checksum(detail::checksum(metadata_bytes), wire.metadata_checksum, "metadata");
  if (wire.flags == detail::payload_checksum_flag) {
    check_checksum(checksum_of(detail::span_of(body.from(wire.metadata_bytes))), wire.payload_checksum, "payload");
  }
  auto metadata = detail::read_metadata(wire.version, static_cast<MessageKind>(wire.kind), metadata_bytes, limits);
  detail::bind_tensors(metadata, body, wire.metadata_bytes, limits);
  auto& message = metadata.message;
  message.id = wire.id;
  if (wire.time_left_ns != detail::no_time_left) {
    message.time_left = std::chrono::nanoseconds(static_cast<std::int64_t>(wire.time_left_ns));
  }
  return std::move(message);
}

Message decode(std::span<const std::byte, message_header_bytes> header, const Storage& body,
               const MessageLimits& limits) {
  return detail::decode(header, detail::MessageBody(body), limits);
}

Message decode(std::span<const std::byte> bytes, const MessageLimits& limits) {
  if (bytes.size() < message_header_bytes) {
    throw Error(ErrorCode::corrupt, "message: " + std::to_string(bytes.size()) + " bytes, a header has " +
                                        std::to_string(message_header_bytes));
  }
  const auto header = bytes.first<message_header_bytes>();
  const auto rest = bytes.subspan(message_header_bytes);
  const auto expected = decode_header(header, limits).body_bytes();
  if (rest.size() != expected) {
    throw Error(ErrorCode::corrupt, "message: " + std::to_string(rest.size()) +
                                        " bytes behind the header, which says " + std::to_string(expected));
  }
  const Storage body = Storage::allocate(rest.size());
  if (!rest.empty()) std::memcpy(body.data(), rest.data(), rest.size());
  return decode(header, body, limits);
}

}  // namespace splitnet
