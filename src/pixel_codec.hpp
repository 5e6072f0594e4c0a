// SPDX-License-Identifier: Apache-2.0
// The codec u8. Private to codec.cpp.
#pragma once

#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// Throws invalid_argument for parameters other than those of PixelScale.
std::shared_ptr<const Codec> make_pixel_codec(const std::string& parameters);

}  // namespace splitnet::detail
