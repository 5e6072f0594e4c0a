// SPDX-License-Identifier: Apache-2.0
// x ≈ (q − zero) · scale with q in 0 … 2^bits − 1: uniform affine quantisation as in Jacob et al., "Quantization and
// Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (CVPR 2018), §2.1. The range has 0 in it
// and 0 stands for 0 exactly, which ReLU gives in plenty.
//
// Layout: the symbols q of all elements in row-major order, `bits` each, the first in the lowest bits, filled up to
// eight symbols with zeros; the scales of the channels as the upper halves of f32 (rounded up, so that the range still
// fits); their zeros, a byte each; the form (exact_form.hpp).
#include "integer_codec.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "codec_parameters.hpp"
#include "elements.hpp"
#include "exact_form.hpp"
#include "scratch.hpp"

namespace splitnet::detail {
namespace {

/// Elements in row-major order: [outer][channels][inner].
struct Channels {
  std::size_t outer = 1;
  std::size_t channels = 1;
  std::size_t inner = 1;
};

/// What a channel's range becomes.
struct Affine {
  float scale = 1;
  float zero = 0;  ///< A whole number.
};

/// Smallest and largest elements, 0 among them, of so many channels side by side.
struct Ranges {
  std::span<float> low;
  std::span<float> high;
  /// 0 as long as all elements are finite.
  std::span<float> probe;
};

constexpr std::size_t lanes = 16;

Ranges empty_ranges(std::size_t count) {
  const auto memory = scratch<float, ScratchUse::ranges>(3 * count);
  std::fill(memory.begin(), memory.end(), 0.0F);
  return {memory.first(count), memory.subspan(count, count), memory.last(count)};
}

/// Elements j of `ranges` take in elements j of `from`.
void widen(const Ranges& ranges, const float* from, std::size_t count) {
  float* const low = ranges.low.data();
  float* const high = ranges.high.data();
  float* const probe = ranges.probe.data();
  for (std::size_t j = 0; j < count; ++j) {
    low[j] = from[j] < low[j] ? from[j] : low[j];
    high[j] = from[j] > high[j] ? from[j] : high[j];
    probe[j] += from[j] * 0.0F;
  }
}

Affine affine_of(float low, float high, float most) {
  const float scale = high / most - low / most;
  const auto bits = std::bit_cast<std::uint32_t>(std::max(scale, std::numeric_limits<float>::min()));
  const auto rounded_up = std::bit_cast<float>((bits + 0xFFFFU) & 0xFFFF0000U);
  return {rounded_up, static_cast<float>(static_cast<int>(-low / rounded_up + 0.5F))};
}

void quantise(const float* from, std::uint8_t* to, std::size_t count, float per_scale, float zero, float most) {
  for (std::size_t i = 0; i < count; ++i) {
    const float level = from[i] * per_scale + (zero + 0.5F);
    const float clamped = level < 0 ? 0.0F : level > most ? most : level;
    to[i] = static_cast<std::uint8_t>(static_cast<int>(clamped));
  }
}

void restore(const std::uint8_t* from, float* to, std::size_t count, Affine affine) {
  constexpr float largest = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < count; ++i) {
    const float number = (static_cast<float>(from[i]) - affine.zero) * affine.scale;
    to[i] = number < -largest ? -largest : number > largest ? largest : number;
  }
}

// ---- Symbols of `bits` bits, eight in `bits` bytes.

template <unsigned bits>
std::uint64_t packed_eight(std::uint64_t bytes) {
  bytes = (bytes & 0x00FF00FF00FF00FFU) | ((bytes & 0xFF00FF00FF00FF00U) >> (8 - bits));
  bytes = (bytes & 0x0000FFFF0000FFFFU) | ((bytes & 0xFFFF0000FFFF0000U) >> (16 - 2 * bits));
  return (bytes & 0x00000000FFFFFFFFU) | ((bytes & 0xFFFFFFFF00000000U) >> (32 - 4 * bits));
}

template <unsigned bits>
std::uint64_t unpacked_eight(std::uint64_t packed) {
  constexpr std::uint64_t half = (std::uint64_t{1} << (4 * bits)) - 1;
  packed = (packed & half) | ((packed & ~half) << (32 - 4 * bits));
  constexpr std::uint64_t quarter = ((std::uint64_t{1} << (2 * bits)) - 1) * 0x0000000100000001U;
  packed = (packed & quarter) | ((packed & ~quarter) << (16 - 2 * bits));
  constexpr std::uint64_t eighth = ((std::uint64_t{1} << bits) - 1) * 0x0001000100010001U;
  return (packed & eighth) | ((packed & ~eighth) << (8 - bits));
}

constexpr std::size_t packed_bytes(std::size_t count, unsigned bits) {
  return (count + 7) / 8 * bits;
}

/// `symbols` may be read and written up to the next multiple of eight.
template <unsigned bits>
void pack(const std::uint8_t* symbols, std::size_t count, std::byte* to) {
  for (std::size_t i = 0; i < count; i += 8, symbols += 8, to += bits) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, symbols, 8);
    eight = packed_eight<bits>(eight);
    std::memcpy(to, &eight, bits);
  }
}
template <unsigned bits>
void unpack(const std::byte* from, std::size_t count, std::uint8_t* symbols) {
  for (std::size_t i = 0; i < count; i += 8, symbols += 8, from += bits) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, from, bits);
    eight = unpacked_eight<bits>(eight);
    std::memcpy(symbols, &eight, 8);
  }
}
static_assert(std::endian::native == std::endian::little, "symbols are packed through integers");

// ---- The codec.

template <unsigned bits>
class IntegerCodec final : public Codec {
 public:
  explicit IntegerCodec(bool per_channel) : per_channel_(per_channel) {}

  bool takes(const Tensor& tensor) const noexcept override { return tensor.dtype == DType::f32; }
  std::size_t max_coded_bytes(const Tensor& tensor) const override {
    return std::max(exact_form_bytes(tensor), coded_bytes(tensor) + 1);
  }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    const auto elements = row_major(tensor);
    const Channels shape = channels_of(tensor);
    const Ranges ranges = ranges_of(elements.data(), shape);
    if (!std::all_of(ranges.probe.begin(), ranges.probe.end(), [](float probe) { return probe == 0; })) {
      return encode_exact(elements, coded);
    }
    auto* const symbols = symbols_in(coded.data(), elements.size());
    std::byte* const scales = coded.data() + packed_bytes(elements.size(), bits);
    std::byte* const zeros = scales + 2 * shape.channels;
    for (std::size_t c = 0; c < shape.channels; ++c) {
      const Affine affine = affine_of(ranges.low[c], ranges.high[c], most);
      const auto upper = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(affine.scale) >> 16U);
      std::memcpy(scales + 2 * c, &upper, 2);
      zeros[c] = static_cast<std::byte>(affine.zero);
      ranges.low[c] = 1 / affine.scale;
      ranges.high[c] = affine.zero;
    }
    for_each_stretch(shape, [&](std::size_t begin, std::size_t count, std::size_t c) {
      quantise(elements.data() + begin, symbols + begin, count, ranges.low[c], ranges.high[c], most);
    });
    const std::size_t rounded = packed_bytes(elements.size(), 8);
    std::fill(symbols + elements.size(), symbols + rounded, std::uint8_t{0});
    if (bits < 8) pack<bits>(symbols, elements.size(), coded.data());
    zeros[shape.channels] = encoded_form;
    return {coded_bytes(tensor) + 1};
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    const std::string name = "int" + std::to_string(bits);
    if (decode_exact(name, coded, tensor)) return;
    check_size(name, coded.size() - 1, coded_bytes(tensor));
    const Channels shape = channels_of(tensor);
    const auto count = static_cast<std::size_t>(tensor.element_count());
    const std::byte* const scales = coded.data() + packed_bytes(count, bits);
    const std::byte* const zeros = scales + 2 * shape.channels;
    const auto affines = scratch<Affine, ScratchUse::ranges>(shape.channels);
    for (std::size_t c = 0; c < shape.channels; ++c) {
      std::uint16_t upper = 0;
      std::memcpy(&upper, scales + 2 * c, 2);
      affines[c] = {std::bit_cast<float>(static_cast<std::uint32_t>(upper) << 16U),
                    static_cast<float>(std::to_integer<unsigned>(zeros[c]))};
      if (!(affines[c].scale > 0 && affines[c].scale <= std::numeric_limits<float>::max())) {
        throw Error(ErrorCode::corrupt, "codec " + name + ": a scale that is not above 0");
      }
    }
    const auto* symbols = reinterpret_cast<const std::uint8_t*>(coded.data());
    if (bits < 8) {
      const auto room = scratch<std::uint8_t, ScratchUse::symbols>(packed_bytes(count, 8));
      unpack<bits>(coded.data(), count, room.data());
      symbols = room.data();
    }
    fill_row_major(tensor, [&](std::span<float> to) {
      for_each_stretch(shape, [&](std::size_t begin, std::size_t length, std::size_t c) {
        restore(symbols + begin, to.data() + begin, length, affines[c]);
      });
    });
  }

 private:
  static constexpr float most = (1U << bits) - 1;

  [[nodiscard]] Channels channels_of(const Tensor& tensor) const {
    const std::size_t rank = tensor.sizes.size();
    const auto count = static_cast<std::size_t>(tensor.element_count());
    if (count == 0) return {0, 1, 0};
    if (!per_channel_ || rank < 2) return {1, 1, count};
    // Of maps [n, channels, height, width] the second dimension, of tokens and vectors the last.
    const std::size_t at = rank >= 4 ? 1 : rank - 1;
    Channels result{1, static_cast<std::size_t>(tensor.sizes[at]), 1};
    for (std::size_t i = 0; i < at; ++i) result.outer *= static_cast<std::size_t>(tensor.sizes[i]);
    for (std::size_t i = at + 1; i < rank; ++i) result.inner *= static_cast<std::size_t>(tensor.sizes[i]);
    return result;
  }

  [[nodiscard]] std::size_t coded_bytes(const Tensor& tensor) const {
    return packed_bytes(static_cast<std::size_t>(tensor.element_count()), bits) + 3 * channels_of(tensor).channels;
  }

  static std::uint8_t* symbols_in(std::byte* coded, std::size_t count) {
    if (bits == 8) return reinterpret_cast<std::uint8_t*>(coded);
    return scratch<std::uint8_t, ScratchUse::symbols>(packed_bytes(count, 8)).data();
  }

  static Ranges ranges_of(const float* from, const Channels& shape) {
    if (shape.inner == 1) {
      const Ranges ranges = empty_ranges(shape.channels);
      for (std::size_t o = 0; o < shape.outer; ++o) widen(ranges, from + o * shape.channels, shape.channels);
      return ranges;
    }
    const Ranges ranges = empty_ranges(shape.channels + lanes);
    const Ranges side_by_side{ranges.low.last(lanes), ranges.high.last(lanes), ranges.probe.last(lanes)};
    for_each_stretch(shape, [&](std::size_t begin, std::size_t count, std::size_t c) {
      std::fill(side_by_side.low.begin(), side_by_side.low.end(), 0.0F);
      std::fill(side_by_side.high.begin(), side_by_side.high.end(), 0.0F);
      std::fill(side_by_side.probe.begin(), side_by_side.probe.end(), 0.0F);
      for (std::size_t i = 0; i < count; i += lanes) {
        widen(side_by_side, from + begin + i, std::min(lanes, count - i));
      }
      ranges.low[c] = std::min(ranges.low[c], *std::min_element(side_by_side.low.begin(), side_by_side.low.end()));
      ranges.high[c] = std::max(ranges.high[c], *std::max_element(side_by_side.high.begin(), side_by_side.high.end()));
      for (const float probe : side_by_side.probe) ranges.probe[c] += probe;
    });
    return {ranges.low.first(shape.channels), ranges.high.first(shape.channels), ranges.probe.first(shape.channels)};
  }

  /// Calls visit(first element, elements, channel) for each stretch of one channel.
  template <class Visit>
  static void for_each_stretch(const Channels& shape, Visit&& visit) {
    std::size_t begin = 0;
    for (std::size_t o = 0; o < shape.outer; ++o) {
      for (std::size_t c = 0; c < shape.channels; ++c, begin += shape.inner) visit(begin, shape.inner, c);
    }
  }

  const bool per_channel_;
};

template <unsigned bits>
std::shared_ptr<const Codec> made(bool per_channel) {
  return std::make_shared<IntegerCodec<bits>>(per_channel);
}

}  // namespace

std::shared_ptr<const Codec> make_integer_codec(unsigned bits, const std::string& parameters) {
  CodecParameters asked("int" + std::to_string(bits), parameters);
  const bool per_channel = asked.word("per", {"tensor", "channel"}, "tensor") == "channel";
  asked.finish();
  constexpr decltype(&made<8>) makers[] = {made<2>, made<3>, made<4>, made<5>, made<6>, made<7>, made<8>};
  return makers[bits - 2](per_channel);
}

}  // namespace splitnet::detail
