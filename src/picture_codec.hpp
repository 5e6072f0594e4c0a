// SPDX-License-Identifier: Apache-2.0
// The codecs jpeg and webp. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// `format` is one of picture_format_names(); parameters: mean, std as of u8, quality, and of jpeg subsampling. Throws
/// invalid_argument for others.
std::shared_ptr<const Codec> make_picture_codec(const std::string& format, const std::string& parameters);

/// What the codec writes for one picture, around a file that is there already: to all of `coded`, which has
/// coded_file_bytes of the file's size, below 4 GiB.
constexpr std::size_t coded_file_bytes(std::size_t file_bytes) {
  return file_bytes + 5;
}
void write_coded_file(std::span<const std::byte> file, std::span<std::byte> coded);

}  // namespace splitnet::detail
