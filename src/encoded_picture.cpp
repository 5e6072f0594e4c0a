// SPDX-License-Identifier: Apache-2.0
#include "splitnet/encoded_picture.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "byte_tensor.hpp"
#include "framed_picture.hpp"
#include "picture_format.hpp"
#include "pixel_scale.hpp"
#include "splitnet/codec.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

[[noreturn]] void wrong(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what);
}

/// Mean and std, and nothing else.
void check_pixels(const std::string& format, const std::string& pixels) {
  detail::CodecParameters parameters(format, pixels);
  (void)detail::PixelScale::of(parameters);
  parameters.finish();
}

EncodedPicture opened(Tensor file, const std::string& pixels) {
  const std::span<const std::byte> bytes{file.data(), file.packed_bytes()};
  if (bytes.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw Error(ErrorCode::too_large, "a picture file of " + std::to_string(bytes.size()) + " bytes, below 4 GiB");
  }
  const std::string format = detail::picture_format_of(bytes);
  if (format.empty()) {
    wrong("a picture file of " + std::to_string(bytes.size()) + " bytes: found neither JPEG nor WebP");
  }
  const auto built = detail::picture_format_names();
  if (std::find(built.begin(), built.end(), format) == built.end()) {
    wrong("a picture file in " + format + ": this build has " + (built.empty() ? "no format" : detail::joined(built)));
  }
  check_pixels(format, pixels);
  detail::CodecParameters none(format, "");
  const auto header = detail::make_picture_format(format, none)->header_of(bytes);
  if (!header.unsupported.empty()) {
    wrong(format + ": found " + header.unsupported + ", expected a single picture in grey or red, green, blue");
  }
  return {format + ":" + pixels, std::move(file), header.size.width, header.size.height, header.size.channels};
}

}  // namespace

EncodedPicture EncodedPicture::of(std::span<const std::byte> file, const std::string& pixels) {
  return opened(detail::to_byte_tensor({reinterpret_cast<const char*>(file.data()), file.size()}), pixels);
}

std::optional<EncodedPicture> EncodedPicture::in(const Value& value) {
  const auto* pair = value.get_if<Tuple>();
  if (pair == nullptr || pair->items.size() != 2) return std::nullopt;
  const auto* codec = pair->items[0].get_if<std::string>();
  const auto* file = pair->items[1].get_if<Tensor>();
  if (codec == nullptr || file == nullptr) return std::nullopt;
  if (file->dtype != DType::u8 || file->sizes.size() != 1 || !file->is_contiguous()) return std::nullopt;
  file->validate();
  const auto colon = codec->find(':');
  auto picture = opened(*file, colon == std::string::npos ? "" : codec->substr(colon + 1));
  if (picture.codec != *codec) wrong("found a picture for codec " + picture.codec + ", expected " + *codec);
  return picture;
}

Tensor EncodedPicture::decode(std::size_t wanted_channels) const {
  const std::vector<std::int64_t> sizes{1, static_cast<std::int64_t>(wanted_channels),
                                        static_cast<std::int64_t>(height), static_cast<std::int64_t>(width)};
  const auto decoder = CodecRegistry::with_defaults().make(codec);
  return decode_values(*decoder, {detail::framed_picture(*this, sizes, "decoding")}).front().tensor();
}

}  // namespace splitnet
