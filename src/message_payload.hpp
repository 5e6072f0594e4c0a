// SPDX-License-Identifier: Apache-2.0
// Tensors and the payloads of a message: which bytes travel, and tensors from the bytes that came.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "message_body.hpp"
#include "message_metadata.hpp"
#include "small_vector.hpp"
#include "splitnet/message.hpp"

namespace splitnet::detail {

/// The bytes of one wire storage.
struct PayloadPart {
  std::size_t lead_bytes = 0;  ///< Zeros in front, so that addresses keep their place modulo 64.
  std::span<const std::byte> bytes;
};

struct PayloadPlan {
  SmallVector<WireStorage, 4> storages;
  SmallVector<PayloadPart, 4> parts;   ///< One for each storage.
  SmallVector<TensorPlace, 4> places;  ///< In the order of for_each_tensor.
  std::vector<Storage> keep_alive;
  std::size_t unpacked_bytes = 0;  ///< What a reader allocates for packed storages.
};

/// What becomes of tensors whose strides leave gaps.
enum class Gaps {
  pack,     ///< Their elements are copied together.
  measure,  ///< Nothing is copied: of their part only the length is true.
};

/// Tensors whose bytes overlap share one wire storage. Throws invalid_argument (a tensor that breaks its
/// invariant or is misaligned), too_large (number of tensors).
PayloadPlan plan_payload(const std::vector<Value>& values, const MessageLimits& limits, Gaps gaps = Gaps::pack);

/// Gives the tensors of `metadata` their storage: parts of `body`, or new bytes for packed ones. Payloads begin
/// `metadata_bytes` into `body`. Throws corrupt, too_large.
void bind_tensors(Metadata& metadata, const MessageBody& body, std::size_t metadata_bytes, const MessageLimits& limits);

}  // namespace splitnet::detail
