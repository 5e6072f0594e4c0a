// SPDX-License-Identifier: Apache-2.0
// The lossless stage behind a codec. Private to codec.cpp.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// The same maker, taking `lossless=lz4|zstd`, `level=N` and `shuffle=byte|bit` as well; what it makes writes items
/// of `item_bytes` bytes.
using MakeCodec = std::function<std::shared_ptr<const Codec>(const std::string& parameters)>;
MakeCodec with_lossless_stage(std::string codec, MakeCodec make, std::size_t item_bytes);

}  // namespace splitnet::detail
