// SPDX-License-Identifier: Apache-2.0
// Layout: a byte for each element in row-major order, the form (exact_form.hpp).
#include "pixel_codec.hpp"

#include <cstddef>
#include <utility>

#include "elements.hpp"
#include "exact_form.hpp"
#include "pixel_scale.hpp"

namespace splitnet::detail {
namespace {

class PixelCodec final : public Codec {
 public:
  explicit PixelCodec(PixelScale scale) : scale_(std::move(scale)) {}

  bool only_inputs() const noexcept override { return true; }
  bool takes(const Tensor& tensor) const noexcept override { return scale_.fits(tensor); }
  std::size_t max_coded_bytes(const Tensor& tensor) const override { return exact_form_bytes(tensor); }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    const auto elements = row_major(tensor);
    if (!scale_.to_pixels(elements, channels_of(tensor), plane_of(tensor), coded)) {
      return encode_exact(elements, coded);
    }
    coded[elements.size()] = encoded_form;
    return {elements.size() + 1};
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    if (decode_exact("u8", coded, tensor)) return;
    const auto pixels = coded.first(coded.size() - 1);
    check_size("u8", pixels.size(), static_cast<std::size_t>(tensor.element_count()));
    fill_row_major(tensor,
                   [&](std::span<float> to) { scale_.to_elements(pixels, channels_of(tensor), plane_of(tensor), to); });
  }

 private:
  static std::size_t channels_of(const Tensor& tensor) {
    return static_cast<std::size_t>(tensor.sizes[tensor.sizes.size() - 3]);
  }
  static std::size_t plane_of(const Tensor& tensor) {
    const std::size_t rank = tensor.sizes.size();
    return static_cast<std::size_t>(tensor.sizes[rank - 2] * tensor.sizes[rank - 1]);
  }

  const PixelScale scale_;
};

}  // namespace

std::shared_ptr<const Codec> make_pixel_codec(const std::string& parameters) {
  CodecParameters asked("u8", parameters);
  PixelScale scale = PixelScale::of(asked);
  asked.finish();
  return std::make_shared<PixelCodec>(std::move(scale));
}

}  // namespace splitnet::detail
