// SPDX-License-Identifier: Apache-2.0
// How much of the work lies in front of each cut. Private.
#pragma once

#include <vector>

#include "splitnet/layer_graph.hpp"

namespace splitnet::detail {

/// For every sequential cut: entry i is of layers 0 … i−1, the last one of all. Layers of unknown FLOPs count 0.
inline std::vector<double> sequential_flops(const LayerGraph& graph) {
  std::vector<double> done{0};
  for (const Layer& layer : graph.layers) done.push_back(done.back() + static_cast<double>(layer.flops.value_or(0)));
  return done;
}

}  // namespace splitnet::detail
