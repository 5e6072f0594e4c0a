// SPDX-License-Identifier: Apache-2.0
#include "float_codec.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

#include "coded_tensor.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

// IEEE 754 binary32 to binary16 and back in integers, and one addition or subtraction of a power of two that rounds as
// the standard says: the same bits on every machine. No branches, so that compilers use vector instructions.

std::uint16_t half_of(float number) {
  constexpr std::uint32_t infinity = 255U << 23U;
  constexpr std::uint32_t too_large = (127U + 16U) << 23U;        // 2^16; what rounds up to it carries into infinity.
  constexpr std::uint32_t smallest_normal = (127U - 14U) << 23U;  // 2^−14
  constexpr std::uint32_t subnormal_unit = (127U - 1U) << 23U;    // 0.5: one unit of its last place is 2^−24.
  const auto bits = std::bit_cast<std::uint32_t>(number);
  const std::uint32_t sign = bits & 0x80000000U;
  const std::uint32_t size = bits ^ sign;
  const std::uint32_t special = size > infinity ? 0x7E00U : 0x7C00U;
  const float shifted = std::bit_cast<float>(size) + std::bit_cast<float>(subnormal_unit);
  const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(shifted) - subnormal_unit;
  const std::uint32_t odd = (size >> 13U) & 1U;
  const std::uint32_t normal = (size - ((127U - 15U) << 23U) + 0xFFFU + odd) >> 13U;
  const std::uint32_t finite = size < smallest_normal ? subnormal : normal;
  return static_cast<std::uint16_t>((size >= too_large ? special : finite) | (sign >> 16U));
}

float float_of(std::uint16_t half) {
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

/// All elements between the first and the furthest one are converted, those in gaps too, which the message leaves out.
class HalfCodec final : public Codec {
 public:
  bool takes(const Tensor& tensor) const noexcept override {
    return tensor.dtype == DType::f32 && has_few_gaps(tensor);
  }

  Value encode(const Tensor& tensor) const override {
    Tensor coded = tensor_like(tensor, DType::f16);
    const std::size_t count = tensor.span_bytes() / sizeof(float);
    const auto* from = reinterpret_cast<const float*>(tensor.data());
    auto* to = reinterpret_cast<std::uint16_t*>(coded.data());
    for (std::size_t i = 0; i < count; ++i) to[i] = half_of(from[i]);
    return coded;
  }

  std::size_t decoded_bytes(const Value& coded) const override { return 2 * checked(coded).span_bytes(); }

  Tensor decode(const Value& coded) const override {
    const Tensor& tensor = checked(coded);
    Tensor decoded = tensor_like(tensor, DType::f32);
    const std::size_t count = tensor.span_bytes() / sizeof(std::uint16_t);
    const auto* from = reinterpret_cast<const std::uint16_t*>(tensor.data());
    auto* to = reinterpret_cast<float*>(decoded.data());
    for (std::size_t i = 0; i < count; ++i) to[i] = float_of(from[i]);
    return decoded;
  }

 private:
  static const Tensor& checked(const Value& coded) {
    const auto* tensor = coded.get_if<Tensor>();
    if (tensor != nullptr && tensor->dtype == DType::f16 && has_few_gaps(*tensor)) return *tensor;
    throw Error(ErrorCode::corrupt, "codec f16: found a " + describe(coded) + ", expected a tensor of f16");
  }
};

}  // namespace

std::shared_ptr<const Codec> make_half_codec(const std::string& parameters) {
  if (parameters.empty()) return std::make_shared<HalfCodec>();
  throw Error(ErrorCode::invalid_argument, "codec f16: found the parameters '" + parameters + "', it takes none");
}

}  // namespace splitnet::detail
