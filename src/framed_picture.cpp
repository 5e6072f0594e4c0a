// SPDX-License-Identifier: Apache-2.0
#include "framed_picture.hpp"

#include <utility>

#include "coded_tensor.hpp"
#include "picture_codec.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

[[noreturn]] void wrong(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what);
}

std::string text_of(std::int64_t width, std::int64_t height, std::int64_t channels) {
  return std::to_string(width) + "×" + std::to_string(height) + " in " + std::to_string(channels) + " channels";
}

/// Whether a picture with `found` channels can fill a tensor with so many.
bool fill(std::int64_t found, std::int64_t channels) {
  return found == channels || (found == 1 && channels == 3);
}

}  // namespace

Value framed_picture(const EncodedPicture& picture, const std::vector<std::int64_t>& sizes, const std::string& what) {
  const auto* side = sizes.data() + sizes.size() - 3;
  const auto width = static_cast<std::int64_t>(picture.width);
  const auto height = static_cast<std::int64_t>(picture.height);
  const auto channels = static_cast<std::int64_t>(picture.channels);
  if (width != side[2] || height != side[1] || !fill(channels, side[0])) {
    wrong("found a picture of " + text_of(width, height, channels) + ", " + what + " takes " +
          text_of(side[2], side[1], side[0]));
  }
  const Tensor shape{{}, DType::f32, sizes, contiguous_strides(sizes), 0};
  const auto colon = picture.codec.find(':');
  if (!make_picture_codec(picture.codec.substr(0, colon), picture.codec.substr(colon + 1))->takes(shape)) {
    wrong("codec " + picture.codec + " does not take " + describe(shape));
  }
  const std::span<const std::byte> file{picture.file.data(), picture.file.packed_bytes()};
  Tensor coded = room_for_coded(coded_file_bytes(file.size()));
  write_coded_file(file, {coded.data(), coded_file_bytes(file.size())});
  close_coded(coded, coded_file_bytes(file.size()), shape);
  return Tuple{{true, std::move(coded)}};
}

}  // namespace splitnet::detail
