// SPDX-License-Identifier: Apache-2.0
// A picture file as it travels. Private.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "splitnet/encoded_picture.hpp"

namespace splitnet::detail {

/// The file as encode_values gives a tensor of these sizes, for decode_values with the picture's codec: nothing is
/// decoded or encoded. Throws invalid_argument: `what` takes tensors that the picture has not the size for.
Value framed_picture(const EncodedPicture& picture, const std::vector<std::int64_t>& sizes, const std::string& what);

}  // namespace splitnet::detail
