// SPDX-License-Identifier: Apache-2.0
// Inputs of a model that came as picture files. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "splitnet/model.hpp"

namespace splitnet::detail {

/// The sizes of one picture for input `index`, which the model takes as in its example. Throws invalid_argument: it is
/// no picture.
std::vector<std::int64_t> picture_sizes(const Model& model, std::size_t index);

/// Frames each picture among the inputs of a model's first stage, with the sizes of the model's example inputs; then
/// all inputs are as encode_values gives them, the others not encoded. Returns the codec that they are for; empty, and
/// inputs as they were, without pictures. Throws invalid_argument (a model without example inputs, a picture of another
/// size, pictures for several codecs), and as EncodedPicture::in; each names the input.
std::string frame_pictures(const Model& model, const StageInfo& first, std::vector<Value>& inputs);

}  // namespace splitnet::detail
