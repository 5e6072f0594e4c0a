// SPDX-License-Identifier: Apache-2.0
#include "pixel_codec.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "coded_tensor.hpp"
#include "splitnet/error.hpp"
#include "strided.hpp"

namespace splitnet::detail {
namespace {

[[noreturn]] void wrong(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "codec u8: " + what + "; expected mean=M,…;std=S,…");
}

/// Numbers of `key=N,N,…`, whatever the locale.
std::vector<float> numbers_of(std::string_view text, const std::string& key) {
  std::vector<float> numbers;
  if (!text.starts_with(key + "=")) wrong("found no " + key + "=");
  text.remove_prefix(key.size() + 1);
  for (;;) {
    float number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || !std::isfinite(number)) wrong(key + " has something that is no number");
    numbers.push_back(number);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) return numbers;
    if (text.front() != ',') wrong("found something else than ',' between the numbers of " + key);
    text.remove_prefix(1);
  }
}

/// The channels are the third dimension from the end.
class PixelCodec final : public Codec {
 public:
  PixelCodec(std::vector<float> mean, std::vector<float> deviation)
      : mean_(std::move(mean)), deviation_(std::move(deviation)) {}

  bool only_inputs() const noexcept override { return true; }
  bool takes(const Tensor& tensor) const noexcept override { return tensor.dtype == DType::f32 && is_picture(tensor); }

  Value encode(const Tensor& tensor) const override {
    Tensor coded = zeros_like(tensor, DType::u8);
    const auto convert = [](float mean, float deviation, const std::byte* from, std::byte* to, std::size_t count) {
      const auto* pixels = reinterpret_cast<const float*>(from);
      for (std::size_t i = 0; i < count; ++i) {
        const float level = (pixels[i] * deviation + mean) * 255.0F;
        const float clamped = std::max(0.0F, std::min(255.0F, level));  // In this order, so that NaN becomes 255.
        to[i] = static_cast<std::byte>(static_cast<int>(clamped + 0.5F));
      }
    };
    for_each_run_of_a_channel(tensor, coded, convert);
    return coded;
  }

  std::size_t decoded_bytes(const Value& coded) const override { return sizeof(float) * checked(coded).span_bytes(); }

  Tensor decode(const Value& coded) const override {
    const Tensor& tensor = checked(coded);
    Tensor decoded = zeros_like(tensor, DType::f32);
    const auto convert = [](float mean, float deviation, const std::byte* from, std::byte* to, std::size_t count) {
      auto* pixels = reinterpret_cast<float*>(to);
      for (std::size_t i = 0; i < count; ++i) {
        pixels[i] = (static_cast<float>(std::to_integer<unsigned>(from[i])) / 255.0F - mean) / deviation;
      }
    };
    for_each_run_of_a_channel(tensor, decoded, convert);
    return decoded;
  }

 private:
  [[nodiscard]] bool is_picture(const Tensor& tensor) const noexcept {
    const std::size_t rank = tensor.sizes.size();
    if (rank < 3 || !has_few_gaps(tensor)) return false;
    if (mean_.size() > 1 && tensor.strides[rank - 3] == 0) return false;  // One channel that stands for several.
    return mean_.size() == 1 || tensor.sizes[rank - 3] == static_cast<std::int64_t>(mean_.size());
  }

  [[nodiscard]] const Tensor& checked(const Value& coded) const {
    const auto* tensor = coded.get_if<Tensor>();
    if (tensor != nullptr && tensor->dtype == DType::u8 && is_picture(*tensor)) return *tensor;
    throw Error(ErrorCode::corrupt, "codec u8: found a " + describe(coded) + ", expected a tensor of u8 with " +
                                        std::to_string(mean_.size()) + " channels");
  }

  /// What lies in gaps is zero.
  static Tensor zeros_like(const Tensor& tensor, DType dtype) {
    Tensor result = tensor_like(tensor, dtype);
    std::fill_n(result.storage.data(), result.storage.size_bytes(), std::byte{0});
    return result;
  }

  /// Calls convert(mean, std, from, to, elements) for stretches that are dense in both tensors. Elements that repeat
  /// (stride 0) are visited once.
  template <class Convert>
  void for_each_run_of_a_channel(const Tensor& from, Tensor& to, Convert&& convert) const {
    if (from.element_count() == 0) return;
    const std::size_t channel_at = from.sizes.size() - 3;
    std::vector<PairedDim> dims;  // Strides in elements: both tensors have the same.
    for (std::size_t d = 0; d < from.sizes.size(); ++d) {
      const auto stride = static_cast<std::size_t>(from.strides[d]);
      if (d != channel_at && stride > 0) dims.push_back({static_cast<std::size_t>(from.sizes[d]), stride, stride});
    }
    const auto channel_stride = static_cast<std::size_t>(from.strides[channel_at]);
    const auto channels = channel_stride == 0 ? 1 : static_cast<std::size_t>(from.sizes[channel_at]);
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const std::size_t i = mean_.size() == 1 ? 0 : channel;
      for_each_run(dims, 1, [&](std::size_t at, std::size_t, std::size_t count) {
        const std::size_t element = channel * channel_stride + at;
        convert(mean_[i], deviation_[i], from.data() + element * size_bytes(from.dtype),
                to.data() + element * size_bytes(to.dtype), count);
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
  if (middle == std::string::npos) wrong("found no ';'");
  auto mean = numbers_of(std::string_view(parameters).substr(0, middle), "mean");
  auto deviation = numbers_of(std::string_view(parameters).substr(middle + 1), "std");
  if (mean.size() != deviation.size()) {
    wrong(std::to_string(mean.size()) + " means and " + std::to_string(deviation.size()) + " deviations");
  }
  if (*std::min_element(deviation.begin(), deviation.end()) <= 0) wrong("a std that is not above 0");
  return std::make_shared<PixelCodec>(std::move(mean), std::move(deviation));
}

}  // namespace splitnet::detail
