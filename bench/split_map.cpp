// SPDX-License-Identifier: Apache-2.0
// When would a split win? Predicted, not measured: five networks with real weights, profiled on this machine, on 60
// links and with devices that are up to 32 times slower than the worker; beside it, how often a split would win with
// lossy codecs that bench_codec_sweep calibrated, by how much they may change the answers. bench_sweep measures how
// right such predictions are.
//
//   bench_split_map [options of Google Benchmark]; scripts/bench split_map makes the models first.

#include <benchmark/benchmark.h>
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "headline.hpp"
#include "sweep_networks.hpp"

namespace {

using namespace splitnet;
using Network = bench::SweepNetwork;

constexpr double slowdowns[] = {1, 2, 4, 8, 16, 32};  // Of the device, against the worker.
constexpr double rtts_s[] = {1e-3, 5e-3, 20e-3, 50e-3, 100e-3};
constexpr double slowest_bit_per_s = 1e6;
constexpr double smallest_gain = 1.02;  // Less is no win: predictions are not that exact.
constexpr std::size_t bandwidths = 12;  // Each twice as high as the one before.

/// What may be done to a boundary.
struct Rule {
  const char* name;
  bool has_f16;
  double max_accuracy_loss;  ///< Of calibrated codecs; below 0: none.
};
constexpr Rule rules[] = {
    {"raw", false, -1},  {"f16", true, -1},   {"0.5 %", true, 0.005},
    {"1 %", true, 0.01}, {"2 %", true, 0.02}, {"5 %", true, 0.05},
};
constexpr std::size_t rule_count = std::size(rules);

/// One network, link, slowdown and rule.
struct Cell {
  std::string network;
  double slowdown;
  double bit_per_s;
  std::size_t rule;
  double unsplit_s;  ///< The best of device only and worker only.
  double split_s;
  [[nodiscard]] bool split_wins() const { return split_s * smallest_gain < unsplit_s; }
};

std::vector<Cell> cells;

std::vector<CodecProfile> codecs_of(const Network& network, const LayerGraph& graph, const Rule& rule) {
  auto codecs = bench::lossless_codecs(network);
  if (rule.has_f16) codecs.push_back({.name = "f16", .ratio = 0.5});
  if (rule.max_accuracy_loss >= 0) {
    const auto calibrated = bench::calibrated_codecs(network, graph, rule.max_accuracy_loss);
    codecs.insert(codecs.end(), calibrated.begin(), calibrated.end());
  }
  return codecs;
}

/// Both machines are this one; the link is to be filled in.
PlanningProblem profiled(const Network& network, const std::shared_ptr<const Model>& model) {
  const auto registry = TransportRegistry::with_defaults();
  WorkerOptions options;
  options.stage.threads = 1;
  const auto worker = Worker::create(options);
  worker->add_model(network.name, model);
  const auto connection = registry.connect(worker->serve(registry, "inproc://split_map"));
  TwoTierOptions planning;
  planning.link = LinkProfile{0, 0, 0, 1, 1};
  planning.device_options.stage.threads = 1;
  planning.codecs.clear();
  for (const Rule& rule : rules) {
    for (CodecProfile& codec : codecs_of(network, model->layers(), rule)) {
      const auto is_same = [&](const CodecProfile& other) {
        return other.name == codec.name && other.head == codec.head;
      };
      if (std::any_of(planning.codecs.begin(), planning.codecs.end(), is_same)) continue;
      planning.codecs.push_back(std::move(codec));
    }
  }
  return profile_two_tiers(*model, *connection, planning);
}

void plan(const Network& network, PlanningProblem problem, std::size_t rule, const IsLegal& is_legal) {
  const DeviceProfile profile = problem.tiers[0].profile;
  problem.codecs = codecs_of(network, problem.graph, rules[rule]);
  for (const double slowdown : slowdowns) {
    problem.tiers[0].profile = profile.scaled(slowdown);
    for (std::size_t i = 0; i < bandwidths; ++i) {
      const double bit_per_s = slowest_bit_per_s * static_cast<double>(1U << i);
      for (const double rtt_s : rtts_s) {
        problem.links[0][0] = LinkProfile{rtt_s, 0, 0, bit_per_s / 8, bit_per_s / 8};
        const Plan found = SequentialPlanner(problem, is_legal).plan(Objective::latency);
        Cell cell{network.name, slowdown, bit_per_s, rule, found.device_only->cost.latency_s, 1e99};
        for (const Candidate& candidate : found.candidates) {
          const auto& assignment = candidate.assignment;
          if (assignment.heads.empty()) continue;
          double& best = assignment.heads[0].empty() ? cell.unsplit_s : cell.split_s;
          best = std::min(best, candidate.cost.latency_s);
        }
        cells.push_back(cell);
      }
    }
  }
}

void map_of(benchmark::State& state, const Network& network) {
  for (auto _ : state) {
    try {
      const auto model = bench::load_model(network);
      const PlanningProblem problem = profiled(network, model);
      std::map<std::vector<LayerSet>, bool> known;
      const auto is_legal = [&](const std::vector<LayerSet>& cuts) {
        const auto [found, is_new] = known.try_emplace(cuts);
        if (is_new) found->second = !model->refusal(cuts);
        return found->second;
      };
      for (std::size_t rule = 0; rule < rule_count; ++rule) plan(network, problem, rule, is_legal);
    } catch (const Error& error) {
      state.SkipWithError(error.what());
    }
  }
}

template <class Which>
void print_part(const std::string& name, Which&& which) {
  std::printf("%-20s", name.c_str());
  for (std::size_t rule = 0; rule < rule_count; ++rule) {
    std::vector<double> gains;
    std::size_t all = 0;
    for (const Cell& cell : cells) {
      if (cell.rule != rule || !which(cell)) continue;
      ++all;
      if (cell.split_wins()) gains.push_back(cell.unsplit_s / cell.split_s);
    }
    if (all == 0) continue;
    std::sort(gains.begin(), gains.end());
    std::printf(" | %5.1f %% (%.2f, %.2f)", 100 * static_cast<double>(gains.size()) / static_cast<double>(all),
                gains.empty() ? 1 : gains[gains.size() / 2], gains.empty() ? 1 : gains.back());
  }
  std::printf("\n");
}

void print() {
  std::printf("cells in which a split would win (how many times faster than the best run without: median, most)\n%-20s",
              "");
  for (const Rule& rule : rules) std::printf(" | %-20s", rule.name);
  std::printf("\n");
  for (const Network& network : bench::sweep_networks) {
    print_part(network.name, [&](const Cell& cell) { return cell.network == network.name; });
  }
  for (const double slowdown : slowdowns) {
    print_part("device / " + std::to_string(static_cast<int>(slowdown)),
               [&](const Cell& cell) { return cell.slowdown == slowdown; });
  }
  for (std::size_t i = 0; i < bandwidths; ++i) {
    const double bit_per_s = slowest_bit_per_s * static_cast<double>(1U << i);
    print_part(std::to_string(1U << i) + " Mbit/s", [&](const Cell& cell) { return cell.bit_per_s == bit_per_s; });
  }
  print_part("all", [](const Cell&) { return true; });
  std::string figures;
  for (std::size_t rule = 0; rule < rule_count; ++rule) {
    const auto of_rule = [&](const Cell& cell) { return cell.rule == rule; };
    const auto wins =
        std::count_if(cells.begin(), cells.end(), [&](const Cell& cell) { return of_rule(cell) && cell.split_wins(); });
    std::string name = rules[rule].name;
    name = name.substr(0, name.find(' '));
    figures += "split_wins_" + name + "=" + std::to_string(wins) + " ";
  }
  bench::print_headline("split_map", figures + "cells=" + std::to_string(cells.size() / rule_count));
}

}  // namespace

int main(int argc, char** argv) try {
  for (const Network& network : bench::sweep_networks) {
    if (!std::filesystem::exists("build/bench/codec_sweep/" + std::string(network.name) + ".json")) {
      std::fprintf(stderr, "split_map: no calibration of %s; `scripts/bench codec_sweep` makes it\n", network.name);
      continue;
    }
    benchmark::RegisterBenchmark(("split_map/" + std::string(network.name)).c_str(), map_of, network)
        ->Iterations(1)
        ->Unit(benchmark::kSecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  print();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "split_map: %s\n", error.what());
  return 1;
}
