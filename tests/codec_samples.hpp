// SPDX-License-Identifier: Apache-2.0
// Tensors and shortcuts for tests of codecs.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/codec.hpp"

namespace splitnet::testing {

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
inline const std::string pictures = "u8:mean=0.485,0.456,0.406;std=0.229,0.224,0.225";

/// The items lie one behind the other; sizes and strides say which are elements.
inline Tensor tensor_of(const std::vector<float>& items, std::vector<std::int64_t> sizes,
                        std::vector<std::int64_t> strides = {}) {
  Tensor tensor = Tensor::empty(DType::f32, {static_cast<std::int64_t>(items.size())});
  if (!items.empty()) std::memcpy(tensor.data(), items.data(), items.size() * sizeof(float));
  tensor.strides = strides.empty() ? contiguous_strides(sizes) : std::move(strides);
  tensor.sizes = std::move(sizes);
  tensor.validate();
  return tensor;
}

/// Element `index` of the storage.
inline float item(const Tensor& tensor, std::size_t index) {
  float number = 0;
  std::memcpy(&number, tensor.data() + index * sizeof(float), sizeof number);
  return number;
}

/// All elements in row-major order.
inline std::vector<float> elements_of(const Tensor& tensor) {
  std::vector<float> elements;
  std::vector<std::int64_t> index(tensor.sizes.size(), 0);
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    std::size_t at = 0;
    for (std::size_t d = 0; d < index.size(); ++d) at += static_cast<std::size_t>(index[d] * tensor.strides[d]);
    elements.push_back(item(tensor, at));
    for (std::size_t d = index.size(); d > 0 && ++index[d - 1] == tensor.sizes[d - 1]; --d) index[d - 1] = 0;
  }
  return elements;
}

inline std::vector<float> random_floats(std::size_t count, float scale = 1, unsigned seed = 7) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> numbers(count);
  for (float& number : numbers) number = normal(random);
  return numbers;
}

struct Sample {
  std::string name;
  Tensor tensor;
};

/// Shapes, strides and numbers that codecs must cope with; all finite.
inline std::vector<Sample> finite_samples() {
  constexpr float denormal = std::numeric_limits<float>::denorm_min();
  constexpr float largest = std::numeric_limits<float>::max();
  auto ramp = random_floats(3 * 5 * 7);
  for (float& number : ramp) number = number < 0 ? 0 : number;
  return {
      {"map", tensor_of(random_floats(2 * 6 * 5 * 7), {2, 6, 5, 7})},
      {"channels last", tensor_of(random_floats(6 * 35), {1, 6, 5, 7}, {210, 1, 42, 6})},
      {"after ReLU", tensor_of(ramp, {1, 3, 5, 7})},
      {"tokens", tensor_of(random_floats(11 * 24, 3), {1, 11, 24})},
      {"vector", tensor_of(random_floats(33), {1, 33})},
      {"one dimension", tensor_of(random_floats(9), {9})},
      {"one element", tensor_of({-2.5F}, {1})},
      {"no dimension", tensor_of({3.25F}, {})},
      {"nothing", tensor_of({}, {0, 3})},
      {"gaps", tensor_of(random_floats(24), {4, 3}, {6, 2})},
      {"transposed", tensor_of(random_floats(24), {4, 6}, {1, 4})},
      {"constant", tensor_of(std::vector<float>(20, 1.7F), {1, 4, 5})},
      {"zeros", tensor_of(std::vector<float>(20, 0.0F), {1, 5, 2, 2})},
      {"denormals", tensor_of({denormal, -denormal, 3 * denormal, 0, 1e-39F, -1e-40F}, {2, 3})},
      {"wide", tensor_of({1e-20F, 1, -3e4F, 5e-3F, 1e4F, 0, -7, 12}, {1, 8})},
      {"largest", tensor_of({largest, -largest, 1, 0}, {1, 4})},
      {"five dimensions", tensor_of(random_floats(2 * 3 * 2 * 2 * 2), {2, 3, 2, 2, 2})},
  };
}

/// The same with elements that are no numbers.
inline std::vector<Sample> not_finite_samples() {
  return {
      {"NaN", tensor_of({1, not_a_number, -2, 0}, {1, 4})},
      {"infinity", tensor_of({1, 2, -infinity, 0, 0, 0}, {1, 1, 2, 3})},
      {"last", tensor_of({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, not_a_number}, {18})},
      {"channels last", tensor_of({1, infinity, 2, 3, 4, 5, 6, 7}, {1, 2, 2, 2}, {8, 1, 4, 2})},
  };
}

/// Through the values of a message.
inline Tensor through(const std::string& codec, const Tensor& tensor) {
  const auto made = CodecRegistry::with_defaults().make(codec);
  return decode_values(*made, encode_values(*made, {tensor}).values).front().tensor();
}

/// What the codec alone writes.
inline std::vector<std::byte> coded_bytes(const Codec& codec, const Tensor& tensor) {
  const Storage room = Storage::allocate(codec.max_coded_bytes(tensor));
  const EncodedSize size = codec.encode(tensor, {room.data(), room.size_bytes()});
  return {room.data(), room.data() + size.bytes};
}

/// A tensor of the same shape that the codec fills from these bytes.
inline Tensor decoded_from(const Codec& codec, const std::vector<std::byte>& coded, const Tensor& shape) {
  const Storage bytes = Storage::allocate(coded.size());
  if (!coded.empty()) std::memcpy(bytes.data(), coded.data(), coded.size());
  Tensor tensor = shape;
  tensor.storage = Storage::allocate(shape.span_bytes());
  tensor.offset_bytes = 0;
  if (tensor.storage.size_bytes() > 0) std::memset(tensor.storage.data(), 0, tensor.storage.size_bytes());
  codec.decode({bytes.data(), coded.size()}, tensor);
  return tensor;
}

/// The same on every machine, −8 … 8.
inline std::vector<float> repeatable_floats(std::size_t count) {
  std::vector<float> numbers(count);
  std::uint32_t state = 1;
  for (float& number : numbers) {
    state = state * 1664525U + 1013904223U;
    number = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-28F;
  }
  return numbers;
}

/// FNV-1a.
inline std::uint64_t digest_of(const std::byte* bytes, std::size_t count) {
  std::uint64_t hash = 14695981039346656037U;
  for (std::size_t i = 0; i < count; ++i) hash = (hash ^ std::to_integer<std::uint64_t>(bytes[i])) * 1099511628211U;
  return hash;
}

}  // namespace splitnet::testing
