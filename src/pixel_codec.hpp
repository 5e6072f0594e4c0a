// SPDX-License-Identifier: Apache-2.0
// The codec u8. Private to codec.cpp.
#pragma once

#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// `parameters` as "mean=M,…;std=S,…". Throws invalid_argument: numbers that are not finite, a std that is not above 0,
/// lists of different lengths.
std::shared_ptr<const Codec> make_pixel_codec(const std::string& parameters);

}  // namespace splitnet::detail
