// SPDX-License-Identifier: Apache-2.0
// The lossless stage behind a codec. Private to codec.cpp.
#pragma once

#include <cstddef>
#include <string>

#include "splitnet/codec.hpp"

namespace splitnet::detail {

/// The same factory, taking `lossless=lz4|zstd`, `level=N` and `shuffle=byte|bit` as well; what it makes writes items
/// of `item_bytes` bytes.
CodecRegistry::Factory with_lossless_stage(std::string codec, CodecRegistry::Factory factory, std::size_t item_bytes);

}  // namespace splitnet::detail
