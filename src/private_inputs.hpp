// SPDX-License-Identifier: Apache-2.0
// Keeps a stage that writes into its inputs from changing what its caller can still see.
#pragma once

#include <vector>

#include "splitnet/value.hpp"

namespace splitnet::detail {

/// Copies the bytes of each input that `written` marks, unless `inputs` holds the only handles to them.
/// Inputs that overlap in memory still do afterwards; sizes, strides and the address modulo 64 stay.
void make_private(std::vector<Value>& inputs, const std::vector<bool>& written);

}  // namespace splitnet::detail
