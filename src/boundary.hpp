// SPDX-License-Identifier: Apache-2.0
// What crosses a cut, counted. Private to cost model and planner.
#pragma once

#include <cstdint>
#include <vector>

#include "splitnet/layer_graph.hpp"

namespace splitnet::detail {

struct Boundary {
  std::int64_t raw_bytes = 0;    ///< All values that cross.
  std::int64_t float_bytes = 0;  ///< Of them f32 tensors, which codecs encode.
  std::int64_t down_bytes = 0;   ///< Results that are made behind the cut and come back.
  bool only_inputs = true;       ///< Nothing that a layer made crosses.
  bool has_inputs = false;       ///< One of the model's inputs crosses.

  /// On the wire with a codec of this ratio.
  [[nodiscard]] double coded_bytes(double ratio) const {
    return static_cast<double>(raw_bytes - float_bytes) + ratio * static_cast<double>(float_bytes);
  }
};

/// True for the layers of `head`, one entry for each of `layers`.
std::vector<bool> marks_of(const LayerSet& head, std::size_t layers);

/// For the head that `in_head` marks, one entry a layer.
Boundary boundary_of(const LayerGraph& graph, const std::vector<bool>& in_head);

/// For every sequential cut: entry i is for the head of layers 0 … i−1. In one pass over the values.
std::vector<Boundary> sequential_boundaries(const LayerGraph& graph);

}  // namespace splitnet::detail
