// SPDX-License-Identifier: Apache-2.0
#include "float_codec.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec_parameters.hpp"
#include "elements.hpp"
#include "exact_form.hpp"

namespace splitnet::detail {
namespace {

// IEEE 754 binary32 to binary16 and back in integers, and one addition or subtraction of a power of two that rounds as
// the standard says: the same bits on every machine. No branches, so that compilers use vector instructions.

struct Half {
  static constexpr const char* name = "f16";
  /// From here on a number rounds to infinity, or is none.
  static constexpr std::uint32_t too_large = std::bit_cast<std::uint32_t>(65520.0F);

  static std::uint16_t of(float number) {
    constexpr std::uint32_t smallest_normal = (127U - 14U) << 23U;  // 2^−14
    constexpr std::uint32_t subnormal_unit = (127U - 1U) << 23U;    // 0.5: one unit of its last place is 2^−24.
    const auto bits = std::bit_cast<std::uint32_t>(number);
    const std::uint32_t sign = bits & 0x80000000U;
    const std::uint32_t size = bits ^ sign;
    const float shifted = std::bit_cast<float>(size) + std::bit_cast<float>(subnormal_unit);
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(shifted) - subnormal_unit;
    const std::uint32_t odd = (size >> 13U) & 1U;
    const std::uint32_t normal = (size - ((127U - 15U) << 23U) + 0xFFFU + odd) >> 13U;
    return static_cast<std::uint16_t>((size < smallest_normal ? subnormal : normal) | (sign >> 16U));
  }
  static float back(std::uint16_t half) {
    constexpr std::uint32_t exponent = 0x7C00U << 13U;
    constexpr std::uint32_t smallest_normal = (127U - 14U) << 23U;
    const std::uint32_t sign = (half & 0x8000U) << 16U;
    const std::uint32_t size = (half & 0x7FFFU) << 13U;
    const std::uint32_t normal = size + ((127U - 15U) << 23U);
    const std::uint32_t special = normal + ((128U - 16U) << 23U);
    const float subnormal = std::bit_cast<float>(size + smallest_normal) - std::bit_cast<float>(smallest_normal);
    const std::uint32_t finite = (size & exponent) == 0 ? std::bit_cast<std::uint32_t>(subnormal) : normal;
    return std::bit_cast<float>(((size & exponent) == exponent ? special : finite) | sign);
  }
};

struct Bfloat {
  static constexpr const char* name = "bf16";
  static constexpr std::uint32_t too_large = 0x7F7F8000U;

  static std::uint16_t of(float number) {
    const auto bits = std::bit_cast<std::uint32_t>(number);
    return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
  }
  static float back(std::uint16_t number) { return std::bit_cast<float>(static_cast<std::uint32_t>(number) << 16U); }
};

/// The largest of the bit patterns without their signs: of the element furthest from 0, or of one that is none.
std::uint32_t largest_bits(std::span<const float> elements) {
  constexpr std::size_t lanes = 16;
  std::int32_t largest[lanes] = {};
  const auto bits = [](float element) {
    return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(element) & 0x7FFFFFFFU);
  };
  std::size_t i = 0;
  for (; i + lanes <= elements.size(); i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const std::int32_t found = bits(elements[i + lane]);
      largest[lane] = found > largest[lane] ? found : largest[lane];
    }
  }
  for (; i < elements.size(); ++i) largest[0] = std::max(largest[0], bits(elements[i]));
  return static_cast<std::uint32_t>(*std::max_element(largest, largest + lanes));
}

/// Two bytes for each element.
template <class Format>
class ShortFloatCodec final : public Codec {
 public:
  bool takes(const Tensor& tensor) const noexcept override { return tensor.dtype == DType::f32; }
  std::size_t max_coded_bytes(const Tensor& tensor) const override { return exact_form_bytes(tensor); }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    const auto elements = row_major(tensor);
    if (largest_bits(elements) >= Format::too_large) return encode_exact(elements, coded);
    auto* const to = reinterpret_cast<std::uint16_t*>(coded.data());
    for (std::size_t i = 0; i < elements.size(); ++i) to[i] = Format::of(elements[i]);
    coded[2 * elements.size()] = encoded_form;
    return {2 * elements.size() + 1};
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    if (decode_exact(Format::name, coded, tensor)) return;
    check_size(Format::name, coded.size() - 1, tensor.packed_bytes() / 2);
    const auto* const from = reinterpret_cast<const std::uint16_t*>(coded.data());
    fill_row_major(tensor, [&](std::span<float> to) {
      for (std::size_t i = 0; i < to.size(); ++i) to[i] = Format::back(from[i]);
    });
  }
};

/// The elements as they are.
class SingleCodec final : public Codec {
 public:
  bool takes(const Tensor& tensor) const noexcept override { return tensor.dtype == DType::f32; }
  std::size_t max_coded_bytes(const Tensor& tensor) const override { return tensor.packed_bytes(); }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    const auto elements = row_major(tensor);
    if (!elements.empty()) std::memcpy(coded.data(), elements.data(), elements.size_bytes());
    return {elements.size_bytes()};
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    check_size("f32", coded.size(), tensor.packed_bytes());
    if (coded.empty()) return;
    fill_row_major(tensor, [&](std::span<float> to) { std::memcpy(to.data(), coded.data(), coded.size()); });
  }
};

template <class Made>
std::shared_ptr<const Codec> made_without(const char* name, const std::string& parameters) {
  CodecParameters(name, parameters).finish();
  return std::make_shared<Made>();
}

}  // namespace

std::shared_ptr<const Codec> make_single_codec(const std::string& parameters) {
  return made_without<SingleCodec>("f32", parameters);
}
std::shared_ptr<const Codec> make_half_codec(const std::string& parameters) {
  return made_without<ShortFloatCodec<Half>>(Half::name, parameters);
}
std::shared_ptr<const Codec> make_bfloat_codec(const std::string& parameters) {
  return made_without<ShortFloatCodec<Bfloat>>(Bfloat::name, parameters);
}

}  // namespace splitnet::detail
