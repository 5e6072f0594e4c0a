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
#include <array>
#include <cstdio>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "headline.hpp"
#include "quantiles.hpp"
#include "run_benchmarks.hpp"
#include "sweep_networks.hpp"

namespace {

using namespace splitnet;
using Network = bench::SweepNetwork;

constexpr double slowdowns[] = {1, 2, 4, 8, 16, 32};  // Of the device, against the worker.
constexpr double rtts_s[] = {1e-3, 5e-3, 20e-3, 50e-3, 100e-3};
constexpr int bandwidths_Mbit_per_s[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048};
constexpr double smallest_gain = 1.02;  // Less is no win: predictions are not that exact.

/// What may be done to a boundary.
struct Rule {
  const char* name;
  bool has_f16;
  std::optional<double> max_accuracy_loss;  ///< Of calibrated codecs; absent: none.
};
constexpr Rule rules[] = {
    {"raw", false, {}},  {"f16", true, {}},   {"0.5 %", true, 0.005},
    {"1 %", true, 0.01}, {"2 %", true, 0.02}, {"5 %", true, 0.05},
};
constexpr std::size_t rule_count = std::size(rules);

/// One network, link, slowdown and rule.
struct Cell {
  std::string network = {};
  double slowdown = 1;
  int bandwidth_Mbit_per_s = 0;
  std::size_t rule = 0;
  double unsplit_s = 0;  ///< The best of device only and worker only.
  double split_s = std::numeric_limits<double>::infinity();
  [[nodiscard]] bool split_wins() const { return split_s * smallest_gain < unsplit_s; }
};

std::vector<Cell> cells;

/// By rule.
using Codecs = std::array<std::vector<CodecProfile>, rule_count>;

Codecs codecs_of(const Network& network, const LayerGraph& graph) {
  const auto calibration = bench::find_calibration(network, graph);
  Codecs codecs;
  for (std::size_t i = 0; i < rule_count; ++i) {
    const Rule& rule = rules[i];
    const auto allowed = rule.max_accuracy_loss ? calibration : std::nullopt;
    codecs[i] = rule.has_f16 ? bench::lossy_codecs(network, allowed, rule.max_accuracy_loss.value_or(0))
                             : bench::lossless_codecs(network);
  }
  return codecs;
}

/// Both machines are this one; the link is to be filled in.
PlanningProblem profiled(const Network& network, const std::shared_ptr<const Model>& model, const Codecs& codecs) {
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
  for (const auto& some : codecs) {
    for (const CodecProfile& codec : some) {
      auto& all = planning.codecs;
      if (std::find(all.begin(), all.end(), codec) == all.end()) all.push_back(codec);
    }
  }
  return profile_two_tiers(*model, *connection, planning);
}

Cell cell_of(const PlanningProblem& problem, const IsLegal& is_legal) {
  const Plan found = SequentialPlanner(problem, is_legal).plan(Objective::latency);
  Cell cell;
  cell.unsplit_s = found.device_only->cost.latency_s;
  for (const Candidate& candidate : found.candidates) {
    const auto& heads = candidate.assignment.heads;
    if (heads.empty()) continue;
    double& best = heads[0].empty() ? cell.unsplit_s : cell.split_s;
    best = std::min(best, candidate.cost.latency_s);
  }
  return cell;
}

void plan(const Network& network, PlanningProblem problem, std::size_t rule, const IsLegal& is_legal) {
  const DeviceProfile profile = problem.tiers[0].profile;
  for (const double slowdown : slowdowns) {
    problem.tiers[0].profile = profile.scaled(slowdown);
    for (const int bandwidth : bandwidths_Mbit_per_s) {
      const double bytes_per_s = bandwidth * 1e6 / 8;
      for (const double rtt_s : rtts_s) {
        problem.links[0][0] = LinkProfile{rtt_s, 0, 0, bytes_per_s, bytes_per_s};
        Cell& cell = cells.emplace_back(cell_of(problem, is_legal));
        cell.network = network.name;
        cell.slowdown = slowdown;
        cell.bandwidth_Mbit_per_s = bandwidth;
        cell.rule = rule;
      }
    }
  }
}

void map_of(benchmark::State& state, const Network& network) {
  for (auto _ : state) {
    try {
      const auto model = bench::load_model(network);
      const Codecs codecs = codecs_of(network, model->layers());
      PlanningProblem problem = profiled(network, model, codecs);
      std::map<std::vector<LayerSet>, bool> known;
      const auto is_legal = [&](const std::vector<LayerSet>& cuts) {
        const auto [found, is_new] = known.try_emplace(cuts);
        if (is_new) found->second = !model->refusal(cuts);
        return found->second;
      };
      for (std::size_t rule = 0; rule < rule_count; ++rule) {
        problem.codecs = codecs[rule];
        plan(network, problem, rule, is_legal);
      }
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
    const double share = static_cast<double>(gains.size()) / static_cast<double>(all);
    if (gains.empty()) gains = {1};
    std::printf(" | %5.1f %% (%.2f, %.2f)", 100 * share, bench::median(gains), bench::quantile(gains, 1));
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
  for (const int bandwidth : bandwidths_Mbit_per_s) {
    print_part(std::to_string(bandwidth) + " Mbit/s",
               [&](const Cell& cell) { return cell.bandwidth_Mbit_per_s == bandwidth; });
  }
  print_part("all", [](const Cell&) { return true; });
  std::string figures;
  for (std::size_t rule = 0; rule < rule_count; ++rule) {
    const auto wins = std::count_if(cells.begin(), cells.end(),
                                    [&](const Cell& cell) { return cell.rule == rule && cell.split_wins(); });
    std::string name = rules[rule].name;
    name = name.substr(0, name.find(' '));
    figures += "split_wins_" + name + "=" + std::to_string(wins) + " ";
  }
  bench::print_headline("split_map", figures + "cells=" + std::to_string(cells.size() / rule_count));
}

}  // namespace

int main(int argc, char** argv) try {
  for (const Network& network : bench::sweep_networks) {
    if (!bench::is_calibrated(network)) {
      std::fprintf(stderr, "split_map: no calibration of %s; `scripts/bench codec_sweep` makes it\n", network.name);
      continue;
    }
    benchmark::RegisterBenchmark(("split_map/" + std::string(network.name)).c_str(), map_of, network)
        ->Iterations(1)
        ->Unit(benchmark::kSecond);
  }
  if (!bench::run_benchmarks(argc, argv)) return 1;
  print();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "split_map: %s\n", error.what());
  return 1;
}
