// SPDX-License-Identifier: Apache-2.0
// How a lossy codec of f32 says that it kept every bit: the last byte is 1 and the elements are before it in row-major
// order; 0: what it encoded is before it. Private.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "elements.hpp"
#include "splitnet/codec.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {

inline constexpr std::byte encoded_form{0};
inline constexpr std::byte exact_form{1};

inline std::size_t exact_form_bytes(const Tensor& tensor) {
  return tensor.packed_bytes() + 1;
}

inline EncodedSize encode_exact(std::span<const float> elements, std::span<std::byte> coded) {
  if (!elements.empty()) std::memcpy(coded.data(), elements.data(), elements.size_bytes());
  coded[elements.size_bytes()] = exact_form;
  return {elements.size_bytes() + 1, true};
}

/// Throws corrupt.
inline void check_size(const std::string& codec, std::size_t found_bytes, std::size_t expected_bytes) {
  if (found_bytes == expected_bytes) return;
  throw Error(ErrorCode::corrupt, "codec " + codec + ": found " + std::to_string(found_bytes) + " bytes, expected " +
                                      std::to_string(expected_bytes));
}

/// Decodes the exact form, and says whether it was one; what is not is before the last byte. Throws corrupt.
inline bool decode_exact(const std::string& codec, std::span<const std::byte> coded, Tensor& tensor) {
  const bool is_exact = !coded.empty() && coded.back() == exact_form;
  if (coded.empty() || (!is_exact && coded.back() != encoded_form)) {
    throw Error(ErrorCode::corrupt, "codec " + codec + ": the last byte is neither 0 nor 1");
  }
  if (!is_exact) return false;
  const auto elements = coded.first(coded.size() - 1);
  check_size(codec, elements.size(), tensor.packed_bytes());
  if (elements.empty()) return true;
  fill_row_major(tensor, [&](std::span<float> to) { std::memcpy(to.data(), elements.data(), elements.size()); });
  return true;
}

}  // namespace splitnet::detail
