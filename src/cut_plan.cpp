// SPDX-License-Identifier: Apache-2.0
#include "cut_plan.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace splitnet::detail {
namespace {

class Planner {
 public:
  Planner(const GraphAnalysis& analysis, const std::vector<LayerSet>& cuts)
      : analysis_(analysis), stages_(cuts.size() + 1), chosen_(stages_.size()), crossing_(stages_.size()) {
    stage_of_layer_.assign(analysis.layer_count(), cuts.size());
    for (std::size_t c = cuts.size(); c-- > 0;) {
      for (const auto layer : cuts[c]) stage_of_layer_[layer] = c;
    }
  }

  std::vector<StagePlan> run() {
    const auto graph_inputs = analysis_.graph()->inputs();
    stages_[0].inputs.assign(graph_inputs.begin(), graph_inputs.end());
    place_results();
    for (std::size_t i = 0; i < analysis_.items().size(); ++i) place_item(i);
    for (std::size_t s = stages_.size(); s-- > 0;) need_inputs_of(s);
    for (std::size_t s = 0; s < stages_.size(); ++s) finish(s);
    return std::move(stages_);
  }

 private:
  std::size_t stage_of(const GraphVal* value) {
    const auto* item = analysis_.producer(value);
    if (item == nullptr) return 0;
    if (item->role == Role::layer || item->role == Role::bound_glue) return stage_of_layer_[item->layer];
    const auto known = glue_stages_.find(value);
    if (known != glue_stages_.end()) return known->second;
    std::size_t latest = 0;  // not the stage of the last layer: a set of layers need not be a prefix
    for (const auto* input : item->reads) latest = std::max(latest, stage_of(input));
    glue_stages_[value] = latest;
    return latest;
  }

  /// A result is final after the last stage that may write into its memory.
  void place_results() {
    for (std::size_t slot = 0; slot < analysis_.results().size(); ++slot) {
      auto* value = analysis_.results()[slot];
      auto last = stage_of(value);
      for (const auto& item : analysis_.items()) {
        if (item.writes.empty()) continue;
        const auto stage = stage_of_layer_[item.layer];
        if (stage > last && analysis_.writes_to(item, value)) last = stage;
      }
      stages_[last].result_slots.push_back(static_cast<std::uint32_t>(slot));
      wanted_.emplace_back(last, value);
    }
  }

  void place_item(std::size_t index) {
    const auto& item = analysis_.items()[index];
    if (item.role != Role::layer && item.role != Role::bound_glue) return;
    const auto stage = stage_of_layer_[item.layer];
    chosen_[stage].insert(index);
    for (auto* value : item.reads) wanted_.emplace_back(stage, value);
  }

  void need_inputs_of(std::size_t stage) {
    // need() at a stage may add wishes to earlier stages only, and those come later in this loop.
    for (std::size_t i = 0; i < wanted_.size(); ++i) {
      if (wanted_[i].first == stage) need(stage, wanted_[i].second);
    }
  }

  /// Makes `value` available in `stage`.
  void need(std::size_t stage, GraphVal* value) {
    if (analysis_.is_constant(value)) return;
    const auto* item = analysis_.producer(value);
    const auto made = stage_of(value);
    const bool rebuilt = item != nullptr && item->role == Role::late_glue;
    if (!rebuilt && made < stage) {
      for (std::size_t c = made; c < stage; ++c) crossing_[c].insert(value);
      wanted_.emplace_back(made, value);
      return;
    }
    if (item == nullptr || item->role == Role::layer || item->role == Role::bound_glue) return;
    const auto index = static_cast<std::size_t>(item - analysis_.items().data());
    if (!chosen_[stage].insert(index).second) return;
    for (auto* input : item->reads) need(stage, input);
  }

  void finish(std::size_t stage) {
    auto& plan = stages_[stage];
    plan.items.assign(chosen_[stage].begin(), chosen_[stage].end());
    std::sort(plan.items.begin(), plan.items.end());
    plan.boundary.assign(crossing_[stage].begin(), crossing_[stage].end());
    std::sort(plan.boundary.begin(), plan.boundary.end(),
              [&](const auto* a, const auto* b) { return analysis_.id(a) < analysis_.id(b); });
    if (stage + 1 < stages_.size()) stages_[stage + 1].inputs = plan.boundary;
  }

  const GraphAnalysis& analysis_;
  std::vector<std::size_t> stage_of_layer_;
  std::unordered_map<const GraphVal*, std::size_t> glue_stages_;
  std::vector<StagePlan> stages_;
  std::vector<std::unordered_set<std::size_t>> chosen_;
  std::vector<std::unordered_set<GraphVal*>> crossing_;  ///< Indexed by the stage before the cut.
  std::vector<std::pair<std::size_t, GraphVal*>> wanted_;
};

/// Copies nodes into a stage's graph, and the constants they use, each once. Call stacks stay behind: they
/// point at functions of the user's module, which a stage outlives.
class Copier {
 public:
  Copier(const GraphAnalysis& analysis, Graph& graph) : analysis_(analysis), graph_(graph) {}

  void add_input(GraphVal* value) { values_[value] = graph_.addInput()->setType(value->type()); }
  void add_constant(GraphVal* value) {
    if (analysis_.is_constant(value) && values_.count(value) == 0) copy_node(*value->node(), *graph_.block());
  }
  void add(Node& node) { copy_node(node, *graph_.block()); }
  GraphVal* at(GraphVal* value) const { return values_.at(value); }

 private:
  void copy_node(Node& node, torch::jit::Block& into) {
    std::vector<GraphVal*> inputs;
    for (auto* input : node.inputs()) inputs.push_back(at(input));
    auto* copy = into.appendNode(graph_.create(node.kind(), inputs, node.outputs().size()));
    copy->copyAttributes(node);
    copy->setSourceRange(node.sourceRange());
    for (auto* block : node.blocks()) copy_block(*block, *copy->addBlock());
    for (std::size_t i = 0; i < node.outputs().size(); ++i) declare(*node.output(i), *copy->output(i));
  }
  void copy_block(torch::jit::Block& block, torch::jit::Block& into) {
    for (auto* input : block.inputs()) declare(*input, *into.addInput());
    for (auto* node : block.nodes()) copy_node(*node, into);
    for (auto* output : block.outputs()) into.registerOutput(at(output));
  }
  void declare(GraphVal& value, GraphVal& copy) { values_[&value] = copy.setType(value.type()); }

  const GraphAnalysis& analysis_;
  Graph& graph_;
  std::unordered_map<GraphVal*, GraphVal*> values_;
};

}  // namespace

std::vector<StagePlan> plan_stages(const GraphAnalysis& analysis, const std::vector<LayerSet>& cuts) {
  return Planner(analysis, cuts).run();
}

std::shared_ptr<Graph> build_graph(const GraphAnalysis& analysis, const StagePlan& plan, const AfterItem& after_item) {
  auto graph = std::make_shared<Graph>();
  Copier copier(analysis, *graph);
  for (auto* input : plan.inputs) copier.add_input(input);
  for (const auto index : plan.items) {
    const auto& item = analysis.items()[index];
    for (auto* value : item.reads) copier.add_constant(value);
    copier.add(*item.node);
    if (after_item) after_item(*graph, item);
  }
  for (auto* value : plan.boundary) graph->registerOutput(copier.at(value));
  for (const auto slot : plan.result_slots) {
    auto* value = analysis.results()[slot];
    copier.add_constant(value);
    graph->registerOutput(copier.at(value));
  }
  return graph;
}

std::vector<bool> written_inputs(const GraphAnalysis& analysis, const StagePlan& plan) {
  std::vector<bool> written(plan.inputs.size(), false);
  for (const auto index : plan.items) {
    const auto& item = analysis.items()[index];
    for (std::size_t i = 0; i < written.size(); ++i) {
      written[i] = written[i] || analysis.writes_to(item, plan.inputs[i]);
    }
  }
  return written;
}

}  // namespace splitnet::detail
