// SPDX-License-Identifier: Apache-2.0
// How long does planning take? A chain of 500 layers chosen again under new conditions, a DAG of 500 layers and 1,000
// edges at most by minimum cut, 16 tiers by 96 layers by dynamic programming. Random problems, the same in every run.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "planning_samples.hpp"
#include "run_benchmarks.hpp"
#include "splitnet/planner.hpp"

namespace {

using namespace splitnet;

/// Without memory limits and codecs, so that all three planners do what their figures are for.
PlanningProblem problem_of(testing::RandomProblems& random, LayerGraph graph, std::size_t tiers) {
  PlanningProblem problem = random.problem(std::move(graph), tiers);
  problem.codecs = {CodecProfile{}};
  for (Tier& tier : problem.tiers) tier.memory_bytes.reset();
  return problem;
}

constexpr std::uint64_t seed = 20261121;

void chain500(benchmark::State& state) {
  testing::RandomProblems random(seed);
  const PlanningProblem problem = problem_of(random, random.chain(500), 2);
  const SequentialPlanner planner(problem);
  SequentialPlanner::Conditions conditions{*problem.link(0, 1)};
  for (auto _ : state) {
    conditions.link.up_bytes_per_s *= conditions.link.up_bytes_per_s > 1e8 ? 1e-2 : 1.01;
    benchmark::DoNotOptimize(planner.choose(Objective::latency, {}, conditions));
  }
}

void dag500(benchmark::State& state) {
  testing::RandomProblems random(seed);
  const auto problem = problem_of(random, random.dag(500), 2);
  for (auto _ : state) benchmark::DoNotOptimize(plan_dag(problem, Objective::latency));
}

void tiers16x96(benchmark::State& state) {
  testing::RandomProblems random(seed);
  const auto problem = problem_of(random, random.chain(96), 16);
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
  Headline headline;
  if (!splitnet::bench::run_benchmarks(argc, argv, &headline)) return 1;
  headline.print();
  return 0;
}
