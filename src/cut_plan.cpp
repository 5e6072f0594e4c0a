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

/// Copies the constants that a node uses into `graph`, each once.
class ConstantCopier {
 public:
  ConstantCopier(const GraphAnalysis& analysis, Graph& graph, std::unordered_map<GraphVal*, GraphVal*>& values)
      : analysis_(analysis), graph_(graph), values_(values) {}

  void copy(GraphVal* value) {
    if (!analysis_.is_constant(value) || values_.count(value) > 0) return;
    auto* clone = graph_.insertNode(graph_.createClone(value->node(), [](GraphVal* v) { return v; }));
    values_[value] = clone->output();
  }

 private:
  const GraphAnalysis& analysis_;
  Graph& graph_;
  std::unordered_map<GraphVal*, GraphVal*>& values_;
};

}  // namespace

std::vector<StagePlan> plan_stages(const GraphAnalysis& analysis, const std::vector<LayerSet>& cuts) {
  return Planner(analysis, cuts).run();
}

std::shared_ptr<Graph> build_graph(const GraphAnalysis& analysis, const StagePlan& plan) {
  auto graph = std::make_shared<Graph>();
  std::unordered_map<GraphVal*, GraphVal*> values;
  for (auto* input : plan.inputs) values[input] = graph->addInput()->setType(input->type());
  ConstantCopier constants(analysis, *graph, values);
  for (const auto index : plan.items) {
    const auto& item = analysis.items()[index];
    for (auto* value : item.reads) constants.copy(value);
    auto* clone = graph->insertNode(graph->createClone(item.node, [&](GraphVal* v) { return values.at(v); }));
    for (std::size_t i = 0; i < clone->outputs().size(); ++i) values[item.node->output(i)] = clone->output(i);
  }
  for (auto* value : plan.boundary) graph->registerOutput(values.at(value));
  for (const auto slot : plan.result_slots) {
    auto* value = analysis.results()[slot];
    constants.copy(value);
    graph->registerOutput(values.at(value));
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
