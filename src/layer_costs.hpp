// SPDX-License-Identifier: Apache-2.0
// What is known of a layer from its operator and the shapes of the example run.
#pragma once

#include <torch/csrc/jit/ir/ir.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace splitnet::detail {

/// Sizes of a value in the example run, or null.
using SizesOf = std::function<const std::vector<std::int64_t>*(const torch::jit::Value*)>;

/// Floating-point operations of a convolution or matrix product, a multiply-add counted as two; nothing
/// for other operators and unknown shapes.
std::optional<std::int64_t> flops_of(const torch::jit::Node& node, const SizesOf& sizes_of);

}  // namespace splitnet::detail
