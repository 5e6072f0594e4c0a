// SPDX-License-Identifier: Apache-2.0
// The codecs jpeg and webp. Private to codec.cpp.
#pragma once

#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// `format` is one of picture_format_names(); parameters: mean, std as of u8, quality, and of jpeg subsampling. Throws
/// invalid_argument for others.
std::shared_ptr<const Codec> make_picture_codec(const std::string& format, const std::string& parameters);

}  // namespace splitnet::detail
