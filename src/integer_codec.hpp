// SPDX-License-Identifier: Apache-2.0
// The codecs int2 … int8. Private to codec.cpp.
#pragma once

#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// `bits` from 2 to 8; `parameters`: per=tensor or per=channel. Throws invalid_argument for others.
std::shared_ptr<const Codec> make_integer_codec(unsigned bits, const std::string& parameters);

}  // namespace splitnet::detail
