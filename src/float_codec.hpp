// SPDX-License-Identifier: Apache-2.0
// The codecs f32, f16 and bf16. Private to codec.cpp.
#pragma once

#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

// Each throws invalid_argument unless `parameters` is empty.
std::shared_ptr<const Codec> make_single_codec(const std::string& parameters);
std::shared_ptr<const Codec> make_half_codec(const std::string& parameters);
std::shared_ptr<const Codec> make_bfloat_codec(const std::string& parameters);

}  // namespace splitnet::detail
