// SPDX-License-Identifier: Apache-2.0
// Where every node of a graph goes when the graph is cut, and what crosses each cut.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "graph_analysis.hpp"
#include "splitnet/layer_graph.hpp"
#include "splitnet/stage.hpp"

namespace splitnet::detail {

/// One stage as a list of nodes and values of the analysed graph. Valid as long as the analysis.
struct StagePlan {
  std::vector<GraphVal*> inputs;            ///< Graph inputs for stage 0, else the boundary before.
  std::vector<std::size_t> items;           ///< In program order.
  std::vector<GraphVal*> boundary;          ///< What crosses the cut after this stage.
  std::vector<std::uint32_t> result_slots;  ///< Results that are final here.
};

/// `cuts` are closed layer sets, each containing the one before; k of them give k + 1 stage plans.
/// A value crosses a cut when it is made before and used after it, or is a result that a later stage may
/// still write into. Pure construction of containers is repeated in every stage that uses it.
std::vector<StagePlan> plan_stages(const GraphAnalysis& analysis, const std::vector<LayerSet>& cuts);

/// May append nodes of its own behind the copy of an item.
using AfterItem = std::function<void(Graph& graph, const Item& item)>;

/// The stage's own graph: copies of its nodes, constants included.
std::shared_ptr<Graph> build_graph(const GraphAnalysis& analysis, const StagePlan& plan,
                                   const AfterItem& after_item = {});

/// For each input of the stage, whether a node of the stage may write into it.
std::vector<bool> written_inputs(const GraphAnalysis& analysis, const StagePlan& plan);

}  // namespace splitnet::detail
