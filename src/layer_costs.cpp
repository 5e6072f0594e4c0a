// SPDX-License-Identifier: Apache-2.0
#include "layer_costs.hpp"

#include <functional>
#include <numeric>
#include <string>

namespace splitnet::detail {
namespace {

using Sizes = std::vector<std::int64_t>;

std::int64_t product(const Sizes& sizes, std::size_t first = 0) {
  return std::accumulate(sizes.begin() + static_cast<std::ptrdiff_t>(std::min(first, sizes.size())), sizes.end(),
                         std::int64_t{1}, std::multiplies<>());
}

}  // namespace

std::optional<std::int64_t> flops_of(const torch::jit::Node& node, const SizesOf& sizes_of) {
  const std::string kind = node.kind().toQualString();
  if (node.outputs().empty()) return std::nullopt;
  const auto* out = sizes_of(node.output(0));
  const auto operand = [&](std::size_t i) { return i < node.inputs().size() ? sizes_of(node.input(i)) : nullptr; };
  if (out == nullptr) return std::nullopt;
  if (kind == "aten::_convolution" || kind == "aten::convolution" || kind == "aten::conv1d" || kind == "aten::conv2d" ||
      kind == "aten::conv3d") {
    const auto* weight = operand(1);  // [C_out, C_in / groups, kernel …]
    if (weight == nullptr) return std::nullopt;
    return 2 * product(*out) * product(*weight, 1);
  }
  if (kind == "aten::linear" || kind == "aten::matmul" || kind == "aten::mm" || kind == "aten::bmm") {
    const auto* left = operand(0);  // […, rows, inner]
    if (left == nullptr || left->empty()) return std::nullopt;
    return 2 * product(*out) * left->back();
  }
  if (kind == "aten::addmm" || kind == "aten::baddbmm") {
    const auto* left = operand(1);
    if (left == nullptr || left->empty()) return std::nullopt;
    return 2 * product(*out) * left->back();
  }
  return std::nullopt;
}

}  // namespace splitnet::detail
