// SPDX-License-Identifier: Apache-2.0
/// \file
/// What a model looks like to a planner: layers, the values between them, and the order they need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/cut.hpp"
#include "splitnet/tensor.hpp"

namespace splitnet {

/// One operator that computes tensors. Glue (sizes, list building) belongs to the layer that uses it.
struct Layer {
  std::string name;                   ///< Unique: the module path, then "#2", "#3" … for further layers of that path.
  std::string module_path;            ///< For example "features.3.conv"; empty for the model's own forward.
  std::string operator_name;          ///< For example "aten::conv2d", "prim::If".
  bool control_flow = false;          ///< An `If` or `Loop`, one layer whatever is inside.
  std::int64_t parameter_bytes = 0;   ///< Constants that this layer alone or with others uses.
  std::optional<std::int64_t> flops;  ///< For the example inputs, one multiply-add = 2; absent when unknown.
  friend bool operator==(const Layer&, const Layer&) = default;
};

/// A value that one layer makes and others use. Each is sent once, however many layers use it.
struct GraphValue {
  static constexpr std::ptrdiff_t from_input = -1;
  std::ptrdiff_t producer = from_input;  ///< Layer index, or from_input.
  std::vector<std::size_t> consumers;    ///< Layer indices, ascending.
  bool is_output = false;                ///< Part of the model's result.
  std::string type;                      ///< As TorchScript writes it: "Tensor", "List[int]".
  std::string dtype;                     ///< Of a tensor in the example run ("f32"); empty otherwise.
  std::vector<std::int64_t> sizes;       ///< Of a tensor in the example run.
  std::int64_t bytes = 0;                ///< In the example run, uncompressed.
  friend bool operator==(const GraphValue&, const GraphValue&) = default;
};

/// `to` may only run after `from`, though no value passes: in-place writes, exceptions, random numbers.
struct OrderEdge {
  std::size_t from = 0;
  std::size_t to = 0;
  friend bool operator==(const OrderEdge&, const OrderEdge&) = default;
};

/// A set of layers closed under the graph's edges: sorted indices without repeats.
using LayerSet = std::vector<std::size_t>;

/// A plain value. Layers are in program order, so every edge goes from a lower index to a higher one.
struct LayerGraph {
  std::string fingerprint;  ///< Hash of graph and parameters, hexadecimal.
  std::vector<Layer> layers;
  std::vector<GraphValue> values;
  std::vector<OrderEdge> order_edges;

  /// The head that `cut` names. Throws invalid_argument: unknown name (with near ones), index out of
  /// range, a set that is not closed under data and order edges (naming the missing layer).
  [[nodiscard]] LayerSet resolve(const Cut& cut) const;
  /// Layers that `layer` directly needs through data or order edges, ascending.
  [[nodiscard]] std::vector<std::size_t> predecessors(std::size_t layer) const;

  friend bool operator==(const LayerGraph&, const LayerGraph&) = default;
};

}  // namespace splitnet
