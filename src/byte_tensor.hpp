// SPDX-License-Identifier: Apache-2.0
// Bytes that travel as a tensor, because metadata is too small for them. Private.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "splitnet/error.hpp"
#include "splitnet/value.hpp"

namespace splitnet::detail {

inline Tensor to_byte_tensor(std::string_view bytes) {
  Tensor tensor = Tensor::empty(DType::u8, {static_cast<std::int64_t>(bytes.size())});
  if (!bytes.empty()) std::memcpy(tensor.data(), bytes.data(), bytes.size());
  return tensor;
}

/// A view; `what` is what was expected, for the message. Throws `code`.
inline std::string_view bytes_in(const Value& value, const std::string& what, ErrorCode code) {
  const auto* tensor = value.get_if<Tensor>();
  if (tensor == nullptr || tensor->dtype != DType::u8 || tensor->sizes.size() != 1 || !tensor->is_contiguous()) {
    throw Error(code, "found a " + describe(value) + ", expected " + what + " as bytes");
  }
  return {reinterpret_cast<const char*>(tensor->data()), tensor->packed_bytes()};
}

}  // namespace splitnet::detail
