// SPDX-License-Identifier: Apache-2.0
// How long does planning take? A chain of 500 layers chosen again under new conditions, a DAG of 500 layers and 1,000
// edges by minimum cut, 16 tiers by 96 layers by dynamic programming. Random problems, the same in every run.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "splitnet/planner.hpp"

namespace {

using namespace splitnet;

class Problems {
 public:
  LayerGraph chain(std::size_t layers) {
    LayerGraph graph = graph_of(layers);
    for (std::size_t i = 0; i < layers; ++i) graph.values[i].consumers = {i};
    return graph;
  }

  /// Every layer reads the one before it, and every other edge skips some.
  LayerGraph dag(std::size_t layers, std::size_t edges) {
    LayerGraph graph = chain(layers);
    for (std::size_t edge = layers; edge < edges; ++edge) {
      const std::size_t to = 2 + below(layers - 2);
      auto& consumers = graph.values[to - 1 - below(std::min<std::size_t>(to - 1, 40))].consumers;
      if (std::find(consumers.begin(), consumers.end(), to) == consumers.end()) consumers.push_back(to);
      std::sort(consumers.begin(), consumers.end());
    }
    return graph;
  }

  PlanningProblem problem(LayerGraph graph, std::size_t tiers) {
    PlanningProblem problem;
    problem.graph = std::move(graph);
    for (std::size_t i = 0; i < tiers; ++i) problem.tiers.push_back(tier(problem.graph, i));
    for (std::size_t i = 0; i + 1 < tiers; ++i) {
      problem.links.emplace_back();
      for (std::size_t j = i + 1; j < tiers; ++j) problem.links.back().emplace_back(link());
    }
    return problem;
  }

  LinkProfile link() { return {between(0, 2e-3), 0, between(0, 2e-4), between(1e6, 1e8), between(1e6, 1e8)}; }

 private:
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11U) * 0x1p-53;
  }

  LayerGraph graph_of(std::size_t layers) {
    LayerGraph graph;
    graph.fingerprint = "bench";
    for (std::size_t i = 0; i <= layers; ++i) {
      GraphValue value;
      value.producer = static_cast<std::ptrdiff_t>(i) - 1;
      value.type = "Tensor";
      value.dtype = "f32";
      value.bytes = static_cast<std::int64_t>(4 + below(1'000'000));
      value.is_output = i == layers;
      graph.values.push_back(value);
      if (i == layers) break;
      Layer layer;
      layer.name = std::to_string(i);
      layer.parameter_bytes = static_cast<std::int64_t>(below(100'000));
      graph.layers.push_back(layer);
    }
    return graph;
  }

  Tier tier(const LayerGraph& graph, std::size_t index) {
    Tier tier;
    tier.name = "tier " + std::to_string(index);
    tier.profile.fingerprint = graph.fingerprint;
    for (const Layer& layer : graph.layers) {
      tier.profile.layers.push_back({layer.name, between(1e-5, 1e-3) / static_cast<double>(1 + index), 0, 0});
      tier.profile.pass_s += tier.profile.layers.back().time_s;
    }
    return tier;
  }

  std::mt19937_64 random_{20261121};
};

void chain500(benchmark::State& state) {
  Problems problems;
  const SequentialPlanner planner(problems.problem(problems.chain(500), 2));
  SequentialPlanner::Conditions conditions{problems.link()};
  for (auto _ : state) {
    conditions.link.up_bytes_per_s *= conditions.link.up_bytes_per_s > 1e8 ? 1e-2 : 1.01;
    benchmark::DoNotOptimize(planner.choose(Objective::latency, {}, conditions));
  }
}

void dag500(benchmark::State& state) {
  Problems problems;
  const auto problem = problems.problem(problems.dag(500, 1000), 2);
  for (auto _ : state) benchmark::DoNotOptimize(plan_dag(problem, Objective::latency));
}

void tiers16x96(benchmark::State& state) {
  Problems problems;
  const auto problem = problems.problem(problems.chain(96), 16);
  for (auto _ : state) benchmark::DoNotOptimize(plan_tiers(problem, Objective::latency));
}

/// Prints as usual and keeps the median of each benchmark for the headline.
class Headline : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.aggregate_name == "median") median_s_[run.run_name.function_name] = run.GetAdjustedRealTime() * 1e-6;
    }
    ConsoleReporter::ReportRuns(runs);
  }
  void print() {
    std::printf("planner: chain500_us=%.2f dag500_ms=%.3f tiers16x96_ms=%.3f\n", median_s_["chain500"] * 1e6,
                median_s_["dag500"] * 1e3, median_s_["tiers16x96"] * 1e3);
  }

 private:
  std::map<std::string, double> median_s_;
};

}  // namespace

int main(int argc, char** argv) {
  for (auto* bench :
       {benchmark::RegisterBenchmark("chain500", chain500), benchmark::RegisterBenchmark("dag500", dag500),
        benchmark::RegisterBenchmark("tiers16x96", tiers16x96)}) {
    bench->Unit(benchmark::kMicrosecond)->Repetitions(9)->ReportAggregatesOnly();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  Headline headline;
  benchmark::RunSpecifiedBenchmarks(&headline);
  benchmark::Shutdown();
  headline.print();
  return 0;
}
