// SPDX-License-Identifier: Apache-2.0
// Layout: the compressed pictures one behind the other; the length of each, 4 bytes; the form (exact_form.hpp).
#include "picture_codec.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "elements.hpp"
#include "exact_form.hpp"
#include "picture_format.hpp"
#include "pixel_scale.hpp"
#include "scratch.hpp"
#include "shuffle.hpp"

namespace splitnet::detail {
namespace {

class PictureCodec final : public Codec {
 public:
  PictureCodec(std::string name, PixelScale scale, std::unique_ptr<const PictureFormat> format)
      : name_(std::move(name)), scale_(std::move(scale)), format_(std::move(format)) {}

  bool only_inputs() const noexcept override { return true; }
  bool takes(const Tensor& tensor) const noexcept override {
    return scale_.fits(tensor) && tensor.element_count() > 0 && format_->has(size_of(tensor));
  }
  std::size_t max_coded_bytes(const Tensor& tensor) const override {
    const std::size_t pictures = count_of(tensor);
    return std::max(exact_form_bytes(tensor), pictures * (format_->max_compressed_bytes(size_of(tensor)) + 4) + 1);
  }

  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    const auto elements = row_major(tensor);
    const PictureSize size = size_of(tensor);
    const std::size_t pictures = count_of(tensor);
    // One plane for each channel, as the tensor has it; the channels of each pixel together, as the format wants it.
    const auto planes = scratch<std::byte, ScratchUse::symbols>(size.bytes());
    const auto pixels = scratch<std::byte, ScratchUse::shuffled>(size.bytes());
    const auto lengths = scratch<std::uint32_t, ScratchUse::ranges>(pictures);
    std::size_t written = 0;
    for (std::size_t i = 0; i < pictures; ++i) {
      if (!scale_.to_pixels(elements.subspan(i * size.bytes(), size.bytes()), size.channels, size.plane(), planes)) {
        return encode_exact(elements, coded);
      }
      unshuffle_bytes(planes, size.channels, pixels);
      const std::size_t length = format_->compress(pixels, size, coded.subspan(written, coded.size() - written));
      lengths[i] = static_cast<std::uint32_t>(length);
      written += length;
    }
    std::memcpy(coded.data() + written, lengths.data(), lengths.size_bytes());
    written += lengths.size_bytes();
    coded[written] = encoded_form;
    return {written + 1};
  }

  void decode(std::span<const std::byte> coded, Tensor& tensor) const override {
    if (decode_exact(name_, coded, tensor)) return;
    const PictureSize size = size_of(tensor);
    const std::size_t pictures = count_of(tensor);
    auto rest = coded.first(coded.size() - 1);
    if (rest.size() < 4 * pictures) wrong("found no lengths of " + std::to_string(pictures) + " pictures");
    const auto lengths = rest.last(4 * pictures);
    rest = rest.first(rest.size() - lengths.size());
    const auto planes = scratch<std::byte, ScratchUse::symbols>(size.bytes());
    const auto pixels = scratch<std::byte, ScratchUse::shuffled>(size.bytes());
    fill_row_major(tensor, [&](std::span<float> to) {
      for (std::size_t i = 0; i < pictures; ++i) {
        std::uint32_t length = 0;
        std::memcpy(&length, lengths.data() + 4 * i, 4);
        if (length > rest.size()) wrong("a picture of " + std::to_string(length) + " bytes, and there are less");
        format_->decompress(rest.first(length), size, pixels);
        rest = rest.subspan(length);
        shuffle_bytes(pixels, size.channels, planes);
        scale_.to_elements(planes, size.channels, size.plane(), to.subspan(i * size.bytes(), size.bytes()));
      }
      if (!rest.empty()) wrong(std::to_string(rest.size()) + " bytes behind the last picture");
    });
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    throw Error(ErrorCode::corrupt, "codec " + name_ + ": " + what);
  }

  static PictureSize size_of(const Tensor& tensor) {
    const auto side = [&](std::size_t from_end) {
      return static_cast<std::size_t>(tensor.sizes[tensor.sizes.size() - from_end]);
    };
    return {side(1), side(2), side(3)};
  }
  static std::size_t count_of(const Tensor& tensor) {
    return static_cast<std::size_t>(tensor.element_count()) / size_of(tensor).bytes();
  }

  const std::string name_;
  const PixelScale scale_;
  const std::unique_ptr<const PictureFormat> format_;
};

}  // namespace

std::shared_ptr<const Codec> make_picture_codec(const std::string& format, const std::string& parameters) {
  CodecParameters asked(format, parameters);
  PixelScale scale = PixelScale::of(asked);
  auto made = make_picture_format(format, asked);
  asked.finish();
  return std::make_shared<PictureCodec>(format, std::move(scale), std::move(made));
}

void write_coded_file(std::span<const std::byte> file, std::span<std::byte> coded) {
  const auto length = static_cast<std::uint32_t>(file.size());
  if (!file.empty()) std::memcpy(coded.data(), file.data(), file.size());
  std::memcpy(coded.data() + file.size(), &length, sizeof length);
  coded.back() = encoded_form;
}

}  // namespace splitnet::detail
