// SPDX-License-Identifier: Apache-2.0
// How deep a cut lies.
#pragma once

#include <splitnet/layer_graph.hpp>

#include <algorithm>
#include <cstddef>

namespace splitnet::bench {

/// How much of the model's FLOPs the head has, 0 … 1.
inline double flops_share(const LayerGraph& graph, const LayerSet& head) {
  double done = 0;
  double total = 0;
  for (std::size_t i = 0; i < graph.layers.size(); ++i) {
    const auto flops = static_cast<double>(graph.layers[i].flops.value_or(0));
    total += flops;
    if (std::binary_search(head.begin(), head.end(), i)) done += flops;
  }
  return done / total;
}

}  // namespace splitnet::bench
