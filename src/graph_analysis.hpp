// SPDX-License-Identifier: Apache-2.0
// What the slicer needs to know about a frozen graph: which nodes are layers and which are glue, what
// each reads and writes, and in which order they must stay.
#pragma once

#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/ir.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "splitnet/layer_graph.hpp"
#include "splitnet/stage.hpp"

namespace splitnet::detail {

using Graph = torch::jit::Graph;
using Node = torch::jit::Node;
using GraphVal = torch::jit::Value;

/// How a top-level node is placed by a cut.
enum class Role : unsigned char {
  layer,       ///< An operator that computes tensors: on the side that the cut says.
  bound_glue,  ///< Glue with an effect, or that reads what others write: always beside its layer.
  early_glue,  ///< Pure: runs as soon as its inputs are there (sizes, unpacking), so its small result travels.
  late_glue,   ///< Pure construction of a container: repeated where it is used, so its items travel once.
};

struct Item {
  Node* node = nullptr;
  Role role = Role::layer;
  std::size_t layer = 0;          ///< Of a layer its own index, of bound glue its layer's; else unused.
  std::vector<GraphVal*> reads;   ///< Top-level values it uses, also from inside its blocks.
  std::vector<GraphVal*> writes;  ///< Values that it, or a node inside its blocks, writes in place.
  bool random = false;
  bool side_effects = false;
};

/// Immutable once made. Pointers into `graph()` stay valid as long as it lives.
class GraphAnalysis {
 public:
  /// Throws unsupported_model when the graph writes into its parameters or has no layer.
  explicit GraphAnalysis(std::shared_ptr<Graph> graph);

  [[nodiscard]] const std::shared_ptr<Graph>& graph() const noexcept { return graph_; }
  [[nodiscard]] const std::vector<Item>& items() const noexcept { return items_; }  ///< In program order.
  [[nodiscard]] const std::vector<std::size_t>& layer_items() const noexcept { return layer_items_; }
  [[nodiscard]] std::size_t layer_count() const noexcept { return layer_items_.size(); }
  /// The item that makes `value`; nothing for graph inputs and constants.
  [[nodiscard]] const Item* producer(const GraphVal* value) const;
  [[nodiscard]] bool is_constant(const GraphVal* value) const;
  /// Stable number of a graph input or an item's output: the same wherever this graph is loaded.
  [[nodiscard]] std::uint32_t id(const GraphVal* value) const { return ids_.at(value); }

  /// The layer after which `value` is there: a layer index, or GraphValue::from_input.
  [[nodiscard]] std::ptrdiff_t producer_layer(const GraphVal* value) const;
  /// May a write into `written` be seen through `value`? A write into a list changes the list, not the
  /// tensors in it.
  [[nodiscard]] bool touches(GraphVal* written, GraphVal* value) const;
  /// Does running `item` change memory that `value` shares or holds?
  [[nodiscard]] bool writes_to(const Item& item, GraphVal* value) const;

  /// The values that make up the result, each once; `result_shape` refers to them by index.
  [[nodiscard]] const std::vector<GraphVal*>& results() const noexcept { return results_; }
  [[nodiscard]] const ResultShape& result_shape() const noexcept { return result_shape_; }

  /// Pairs of layers that must keep their order though no value passes; ascending, without repeats.
  [[nodiscard]] const std::vector<OrderEdge>& order_edges() const noexcept { return order_edges_; }

 private:
  void collect_items();
  void refuse_parameter_writes() const;
  void classify();
  bool is_pure(const Item& item) const;
  bool reads_written_memory(const Item& item) const;
  void number_layers();
  void bind_glue();
  void find_order_edges();
  std::vector<std::vector<std::size_t>> ordered_pairs() const;
  void place_pure_glue();
  void collect_results();
  ResultShape shape_of(GraphVal* value);

  std::shared_ptr<Graph> graph_;
  torch::jit::AliasDb alias_;
  std::vector<Item> items_;
  std::unordered_map<const Node*, std::size_t> item_of_node_;
  std::unordered_map<const GraphVal*, std::uint32_t> ids_;
  std::vector<std::size_t> layer_items_;
  std::vector<std::vector<std::size_t>> successors_;  ///< Of items, through data and order.
  std::vector<OrderEdge> order_edges_;
  std::vector<GraphVal*> results_;
  ResultShape result_shape_;
  std::unordered_map<const GraphVal*, std::ptrdiff_t> glue_layers_;  ///< Of pure glue's outputs.
};

/// Can a value of this type be changed in place, or hold one that can?
bool is_mutable(const c10::TypePtr& type);
/// A list, dict, or a tuple or optional of such: mutable, and not a tensor.
bool is_mutable_container(const GraphVal* value);

/// Module path of a node ("features.3.conv"); empty when it stands in the model's own forward.
std::string module_path_of(const Node& node);
/// Keeps them in the nodes themselves, for graphs that are written.
void note_module_paths(const std::shared_ptr<torch::jit::Graph>& graph);

}  // namespace splitnet::detail
