// SPDX-License-Identifier: Apache-2.0
// The cheapest closed head of a layer graph for costs that add up, by a minimum cut. Private to the planner.
#pragma once

#include <memory>
#include <vector>

#include "splitnet/layer_graph.hpp"

namespace splitnet::detail {

/// cost(head) = Σ_{layer in head} head[layer] + Σ_{other layers} tail[layer] + Σ_{values that cross} value[value]
///              + (head not empty ? any_head : 0) + (head not everything ? any_tail : 0).
/// All numbers are finite and not negative, but for head and tail, which may be negative.
struct AdditiveCosts {
  std::vector<double> head;
  std::vector<double> tail;
  std::vector<double> value;
  double any_head = 0;
  double any_tail = 0;

  static AdditiveCosts zeros(const LayerGraph& graph);
  /// Adds `factor` times the other's.
  void add(const AdditiveCosts& other, double factor);
  [[nodiscard]] double of(const LayerGraph& graph, const std::vector<bool>& in_head) const;
};

/// The network is built once; solving again with other costs only sets capacities. Not thread-safe.
class MinCut {
 public:
  explicit MinCut(const LayerGraph& graph);
  ~MinCut();
  MinCut(const MinCut&) = delete;
  MinCut& operator=(const MinCut&) = delete;

  /// Marks a closed head with the least cost. Exact but for rounding each cost to 2^-40 of their sum.
  std::vector<bool> solve(const AdditiveCosts& costs);

 private:
  struct Network;
  const LayerGraph& graph_;
  const std::unique_ptr<Network> network_;
};

}  // namespace splitnet::detail
