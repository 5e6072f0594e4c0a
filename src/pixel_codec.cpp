// SPDX-License-Identifier: Apache-2.0
#include "pixel_codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"
#include "strided.hpp"

namespace splitnet::detail {
namespace {

[[noreturn]] void wrong(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "codec u8: " + what + "; expected mean=M,…;std=S,…");
}

std::vector<float> numbers_of(const std::string& text, const std::string& key) {
  std::vector<float> numbers;
  if (!text.starts_with(key + "=")) wrong("found '" + text.substr(0, 80) + "' instead of " + key);
  for (const char* at = text.c_str() + key.size() + 1;;) {
    char* end = nullptr;
    numbers.push_back(std::strtof(at, &end));
    if (end == at || !std::isfinite(numbers.back())) wrong(key + " has something that is no number: '" + at + "'");
    if (*end == '\0') return numbers;
    if (*end != ',') wrong("found '" + std::string(end) + "' behind a number of " + key);
    at = end + 1;
  }
}

/// The channels are the third dimension from the end.
class PixelCodec final : public Codec {
 public:
  PixelCodec(std::vector<float> mean, std::vector<float> deviation)
      : mean_(std::move(mean)), deviation_(std::move(deviation)) {}

  bool takes(const Tensor& tensor) const noexcept override {
    return tensor.dtype == DType::f32 && has_channels(tensor);
  }

  Value encode(const Tensor& tensor) const override {
    Tensor coded = like(tensor, DType::u8);
    for_each_run_of_a_channel(
        tensor, coded, [](float mean, float deviation, const std::byte* from, std::byte* to, std::size_t count) {
          const auto* pixels = reinterpret_cast<const float*>(from);
          for (std::size_t i = 0; i < count; ++i) {
            const float level = (pixels[i] * deviation + mean) * 255.0F;
            const float clamped = std::max(0.0F, std::min(255.0F, level));  // In this order, so that NaN becomes 255.
            to[i] = static_cast<std::byte>(static_cast<int>(clamped + 0.5F));
          }
        });
    return coded;
  }

  Tensor decode(const Value& coded) const override {
    const auto* tensor = coded.get_if<Tensor>();
    if (tensor == nullptr || tensor->dtype != DType::u8 || !has_channels(*tensor)) {
      throw Error(ErrorCode::corrupt, "codec u8: found a " + describe(coded) + ", expected a tensor of u8 with " +
                                          std::to_string(mean_.size()) + " channels");
    }
    Tensor decoded = like(*tensor, DType::f32);
    for_each_run_of_a_channel(
        *tensor, decoded, [](float mean, float deviation, const std::byte* from, std::byte* to, std::size_t count) {
          auto* pixels = reinterpret_cast<float*>(to);
          for (std::size_t i = 0; i < count; ++i) {
            pixels[i] = (static_cast<float>(std::to_integer<unsigned>(from[i])) / 255.0F - mean) / deviation;
          }
        });
    return decoded;
  }

 private:
  bool has_channels(const Tensor& tensor) const noexcept {
    const std::size_t rank = tensor.sizes.size();
    if (rank < 3) return false;
    return mean_.size() == 1 || tensor.sizes[rank - 3] == static_cast<std::int64_t>(mean_.size());
  }

  static Tensor like(const Tensor& tensor, DType dtype) {
    Tensor result{{}, dtype, tensor.sizes, tensor.strides, 0};
    result.storage = Storage::allocate(result.span_bytes());
    std::fill_n(result.storage.data(), result.storage.size_bytes(), std::byte{0});  // Gaps too.
    return result;
  }

  /// Calls convert(mean, std, from, to, elements) for stretches that are dense in both tensors.
  template <class Convert>
  void for_each_run_of_a_channel(const Tensor& from, Tensor& to, Convert&& convert) const {
    const std::size_t from_bytes = size_bytes(from.dtype);
    const std::size_t to_bytes = size_bytes(to.dtype);
    const std::size_t channel_at = from.sizes.size() - 3;
    std::vector<PairedDim> dims;  // Strides in elements: both tensors have the same.
    for (std::size_t d = 0; d < from.sizes.size(); ++d) {
      const auto stride = static_cast<std::size_t>(from.strides[d]);
      if (d != channel_at) dims.push_back({static_cast<std::size_t>(from.sizes[d]), stride, stride});
    }
    const auto channel_stride = static_cast<std::size_t>(from.strides[channel_at]);
    for (std::size_t channel = 0; channel < static_cast<std::size_t>(from.sizes[channel_at]); ++channel) {
      const std::size_t i = mean_.size() == 1 ? 0 : channel;
      for_each_run(dims, 1, [&](std::size_t at, std::size_t, std::size_t count) {
        const std::size_t element = channel * channel_stride + at;
        convert(mean_[i], deviation_[i], from.data() + element * from_bytes, to.data() + element * to_bytes, count);
        return true;
      });
    }
  }

  const std::vector<float> mean_;
  const std::vector<float> deviation_;
};

}  // namespace

std::shared_ptr<const Codec> make_pixel_codec(const std::string& parameters) {
  const auto middle = parameters.find(';');
  if (middle == std::string::npos) wrong("found '" + parameters.substr(0, 80) + "'");
  auto mean = numbers_of(parameters.substr(0, middle), "mean");
  auto deviation = numbers_of(parameters.substr(middle + 1), "std");
  if (mean.size() != deviation.size()) {
    wrong(std::to_string(mean.size()) + " means and " + std::to_string(deviation.size()) + " deviations");
  }
  if (*std::min_element(deviation.begin(), deviation.end()) <= 0) wrong("a std that is not above 0");
  return std::make_shared<PixelCodec>(std::move(mean), std::move(deviation));
}

}  // namespace splitnet::detail
