// SPDX-License-Identifier: Apache-2.0
// The codec f16. Private to codec.cpp.
#pragma once

#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// Throws invalid_argument unless `parameters` is empty.
std::shared_ptr<const Codec> make_half_codec(const std::string& parameters);

}  // namespace splitnet::detail
