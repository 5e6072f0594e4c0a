// SPDX-License-Identifier: Apache-2.0
/// \file
/// The one binary message that every transport carries (docs/wire_format.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "splitnet/error.hpp"
#include "splitnet/model.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

/// Travels: never renumber.
enum class MessageKind : std::uint8_t {
  request = 1,
  reply = 2,
  error = 3,
  cancel = 4,  ///< The caller of the request with this id has given up.
  hello = 5,   ///< First on a connection that has to show a token: values = [the token].
};

/// What a request wants done. Travels: never renumber.
enum class Operation : std::uint8_t {
  run = 0,  ///< One pass of the stage: values are its inputs, the reply's its outputs.
  /// Check name, fingerprint, cut and codec, slice the stage and keep it. values = [the codec's tables as a u8 tensor],
  /// when it has some, which are kept as well; the reply has none.
  prepare = 1,
  /// Measure the road alone; model and stage are not looked at. values = [how many bytes the reply shall carry,
  /// anything …]; the reply has one u8 tensor of that many bytes.
  probe = 2,
  /// Values of the reply: the worker's DeviceProfile of this model as JSON, with its speed at StageRequest::codec, and
  /// the memory in bytes that the stage takes there. Values of the request as for prepare.
  profile = 3,
};

/// A stage after the one that is asked for, on another worker.
struct NextHop {
  std::string endpoint;       ///< One that the worker is allowed to forward to; it is compared, letter by letter.
  std::string codec = "raw";  ///< Of the boundary on its way there.
  friend bool operator==(const NextHop&, const NextHop&) = default;
};

/// The W3C trace context of a request (https://www.w3.org/TR/trace-context/), both as they stand in HTTP headers. It is
/// passed on and written into logs, nothing else; see trace.hpp.
struct TraceContext {
  std::string traceparent = {};
  std::string tracestate = {};
  friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

/// What a request asks a worker to do. Nothing in it can name a file, a package or a pointer.
struct StageRequest {
  std::string model;        ///< A name the worker was started with; empty: the model with this fingerprint.
  std::string fingerprint;  ///< Compared before anything runs.
  StageKey stage;
  Operation operation = Operation::run;
  std::string codec = "raw";  ///< How the values of a run are encoded (codec.hpp).
  /// Of a run: who runs the stages after this one. The worker sends the boundary on and answers with the results of its
  /// own stage and then of those. To prepare: who prepares them. As many as stages at most.
  std::vector<NextHop> next = {};
  friend bool operator==(const StageRequest&, const StageRequest&) = default;
};

/// A plain value; copies share tensor bytes.
struct Message {
  MessageKind kind = MessageKind::request;
  std::uint64_t id = 0;  ///< Joins a reply to its request; set by the connection.
  /// Left until nobody waits for the answer any more, on a monotonic clock; absent means no deadline.
  std::optional<std::chrono::nanoseconds> time_left;
  StageRequest request;                   ///< Of a request.
  TraceContext trace;                     ///< Of a request; empty: none.
  ErrorCode error = ErrorCode::internal;  ///< Of an error.
  std::string error_message;              ///< Of an error; at most 4096 bytes of it travel.
  std::optional<double> retry_after_s;    ///< Of an error: Error::retry_after_s.
  /// Of a reply: how long each step took, in seconds; two readings of a clock when the request was traced (trace.hpp).
  std::map<std::string, double> times_s;
  std::vector<Value> values;  ///< Of a request, a reply or a hello; others travel without.

  static Message make_error(const Error& error);
  /// Throws the error that an error message carries; does nothing for other kinds.
  void throw_if_error() const;
};

/// What a decoder accepts. Everything is checked against these before memory is taken.
struct MessageLimits {
  std::size_t max_message_bytes = std::size_t{1} << 30;  ///< Header, metadata and payloads; also decoded.
  std::size_t max_metadata_bytes = 64 * 1024;
  std::size_t max_tensors = 4096;
  std::size_t max_rank = 16;
  std::size_t max_depth = 16;      ///< Of nested containers.
  std::size_t max_values = 65536;  ///< Leaves and containers together; layers named in cuts count too.
};

/// Bytes of the fixed header.
inline constexpr std::size_t message_header_bytes = 64;

/// A message ready to be sent by scatter/gather: `buffers` in order are the bytes on the wire. Payload
/// buffers point into the tensors' own storage, which `keep_alive` holds.
struct EncodedMessage {
  std::vector<std::span<const std::byte>> buffers;
  std::size_t size_bytes = 0;
  std::vector<Storage> keep_alive;

  /// All buffers joined into one (a copy): for transports that need it, and tests.
  [[nodiscard]] Storage join() const;
};

/// Without a copy of tensor bytes, but for tensors whose strides leave gaps, which are packed.
/// Tensors that overlap share one storage on the other side too; strides, and addresses modulo 64, are kept.
/// Throws too_large when anything is over `limits`, so that the sender knows before the reader does, and
/// invalid_argument: a tensor that breaks its invariant or begins off a multiple of its element size, a
/// dict key that is no scalar or string, a cut that is not in ascending order.
EncodedMessage encode(const Message& message, bool payload_checksum = true, const MessageLimits& limits = {});

/// EncodedMessage::size_bytes of encode, without reading tensor bytes. Throws as encode.
std::size_t encoded_size_bytes(const Message& message, const MessageLimits& limits = {});

/// What the fixed header says, once it has been checked.
struct MessageHeader {
  MessageKind kind = MessageKind::request;
  std::uint64_t id = 0;
  std::size_t metadata_bytes = 0;
  std::size_t payload_bytes = 0;  ///< With the padding in front of each payload.
  [[nodiscard]] std::size_t body_bytes() const noexcept { return metadata_bytes + payload_bytes; }
};

/// Checks the header before a transport allocates the body. Throws corrupt (magic, checksum, fields),
/// incompatible (another version), too_large.
MessageHeader decode_header(std::span<const std::byte, message_header_bytes> header, const MessageLimits& limits = {});

/// Rebuilds the message. Tensors alias `body`, but for packed ones. `body` starts on a 64-byte boundary and
/// holds exactly header.body_bytes() bytes. Throws corrupt, incompatible, too_large, and invalid_argument when
/// `body` is not aligned; never reads outside `body`.
Message decode(std::span<const std::byte, message_header_bytes> header, const Storage& body,
               const MessageLimits& limits = {});

/// Header and body in one buffer. Throws as the two functions above; trailing bytes are corrupt.
Message decode(std::span<const std::byte> bytes, const MessageLimits& limits = {});

}  // namespace splitnet
