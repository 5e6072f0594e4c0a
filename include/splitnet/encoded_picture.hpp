// SPDX-License-Identifier: Apache-2.0
/// \file
/// A picture file in place of the tensor that it means, so that a picture which is compressed already is not
/// compressed once more.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "splitnet/tensor.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

/// A JPEG or WebP file, for a model that takes the tensor (p / 255 − mean) / std of its bytes p. A Session takes it
/// where the model takes a tensor.
///
/// Formats: those that this build's codecs have. JPEG: grey or colour (YCbCr or RGB), baseline or progressive; not
/// CMYK. WebP: single pictures; transparency is ignored. A grey picture may stand where a model takes colours (three
/// equal channels), not the other way round. The pixels count as they lie in the file: a turn that its EXIF data asks
/// for is not made, nor are colour profiles applied.
///
/// A plain value; copies share the file's bytes.
struct EncodedPicture {
  std::string codec;  ///< Decodes the file, knows mean and std: "jpeg:mean=…;std=…".
  Tensor file = {};   ///< All of it: u8, one dimension.
  // As the file's header has them.
  std::size_t width = 0;
  std::size_t height = 0;
  std::size_t channels = 3;  ///< 1: grey; 3: red, green, blue.

  /// Copies the file and reads its header; whether the rest is sound shows when it is decoded. `pixels` is what the
  /// model's inputs are made with, as of the codec u8: "mean=M,…;std=S,…". Throws invalid_argument (neither JPEG nor
  /// WebP, a format that this build has not, something in it that is not supported, other parameters), corrupt (a
  /// damaged header), too_large (a file of 4 GiB).
  static EncodedPicture of(std::span<const std::byte> file, const std::string& pixels);
  /// The picture that a Value was made from; nothing for other values. Throws as `of`.
  static std::optional<EncodedPicture> in(const Value& value);

  /// The tensor, [1, wanted_channels (1 or 3), height, width]: bit by bit what the model gets on a worker that
  /// has the same picture libraries. Throws invalid_argument (a number of channels that mean and std, or the file, are
  /// not for), corrupt (a damaged file), too_large (a tensor of more than 1 GiB).
  [[nodiscard]] Tensor decode(std::size_t wanted_channels) const;
};

/// A picture converts to a Value: the tuple (codec, file).
template <>
struct ValueTraits<EncodedPicture> {
  static Value make(const EncodedPicture& picture) { return Tuple{{picture.codec, picture.file}}; }
};

}  // namespace splitnet
