// SPDX-License-Identifier: Apache-2.0
// What does a cut cost by itself? Head and tail in one process, the boundary moved from one to the other,
// against the uncut frozen model in plain TorchScript; runs alternate, and ratios are taken pair by pair.
// Also how long cutting takes, and what it adds to memory, for the largest model.

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quantiles.hpp"
#include "run_benchmarks.hpp"
#include "zoo/zoo_values.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using splitnet::Cut;
using splitnet::LayerSet;
using splitnet::Value;
using splitnet::bench::median;
using splitnet::testing::load_zoo_values;

constexpr const char* zoo = "build/zoo/";
constexpr double short_model_s = 5e-3;  ///< Below it the added time counts, above it the ratio.
constexpr double seconds_per_cut = 1.2;
constexpr std::size_t cuts_per_model = 5;

struct Row {
  std::string model;
  std::size_t layers = 0;
  std::size_t cuts = 0;
  std::size_t refused = 0;
  std::size_t identical = 0;
  double uncut_s = 0;
  std::vector<double> ratios;   ///< One for each cut: median over pairs.
  std::vector<double> added_s;  ///< One for each cut: median over pairs.
};

template <class F>
double time_s(F&& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<Value> to_values(const std::vector<c10::IValue>& inputs) {
  return {inputs.begin(), inputs.end()};
}

struct Pair {
  double uncut_s = 0;
  double split_s = 0;
};

/// Alternates the two, which of them goes first as well.
std::vector<Pair> run_pairs(torch::jit::Module& uncut, const splitnet::Model& model,
                            const std::vector<std::unique_ptr<splitnet::Stage>>& stages,
                            const std::vector<c10::IValue>& inputs) {
  const auto values = to_values(inputs);
  const auto run_uncut = [&] { return time_s([&] { benchmark::DoNotOptimize(uncut.forward(inputs)); }); };
  const auto run_split = [&] {
    return time_s([&] { benchmark::DoNotOptimize(splitnet::run_stages(model, stages, values)); });
  };
  for (int i = 0; i < 3; ++i) run_uncut(), run_split();
  std::vector<Pair> pairs;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds_per_cut);
  while (pairs.size() < 9 || (Clock::now() < end && pairs.size() < 2001)) {
    Pair pair;
    if (pairs.size() % 2 == 0) {
      pair.uncut_s = run_uncut();
      pair.split_s = run_split();
    } else {
      pair.split_s = run_split();
      pair.uncut_s = run_uncut();
    }
    pairs.push_back(pair);
  }
  return pairs;
}

Row measure(const nlohmann::json& item) {
  Row row;
  row.model = item["name"].get<std::string>() + "." + item["form"].get<std::string>();
  const std::string inputs_file = item["inputs"]["full"];
  const auto inputs =
      load_zoo_values(std::string(zoo) + inputs_file);  // the uncut model may write into them: answers take fresh ones
  auto module = torch::jit::load(zoo + item["file"].get<std::string>());
  module.eval();
  auto uncut = torch::jit::freeze(module);
  const auto model = splitnet::Partitioner::from_module(module, to_values(inputs));
  const auto expected = splitnet::to_value(uncut.forward(load_zoo_values(std::string(zoo) + inputs_file)));
  row.layers = model->layers().layers.size();
  std::vector<double> uncut_times;
  for (std::size_t i = 1; i <= cuts_per_model; ++i) {
    const auto cut =
        model->layers().resolve(Cut::after_index(std::min(row.layers - 1, i * row.layers / (cuts_per_model + 1))));
    ++row.cuts;
    if (model->refusal({cut})) {
      ++row.refused;
      continue;
    }
    const auto stages = model->split({Cut::of(cut)});
    row.identical += bit_identical(
        splitnet::run_stages(*model, stages, to_values(load_zoo_values(std::string(zoo) + inputs_file))), expected);
    std::vector<double> ratios;
    std::vector<double> added;
    for (const auto& pair : run_pairs(uncut, *model, stages, inputs)) {
      ratios.push_back(pair.split_s / pair.uncut_s);
      added.push_back(pair.split_s - pair.uncut_s);
      uncut_times.push_back(pair.uncut_s);
    }
    row.ratios.push_back(median(ratios));
    row.added_s.push_back(median(added));
  }
  row.uncut_s = median(uncut_times);
  return row;
}

std::int64_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  std::int64_t pages = 0;
  std::int64_t resident_pages = 0;
  status >> pages >> resident_pages;
  return resident_pages * 4096;
}

/// Cutting the largest model in the middle: how long, and how much memory both stages take.
void measure_cutting(const nlohmann::json& item, benchmark::State& state) {
  auto module = torch::jit::load(zoo + item["file"].get<std::string>());
  module.eval();
  std::shared_ptr<const splitnet::Model> model;
  const auto load_s = time_s([&] { model = splitnet::Partitioner::from_module(module); });
  const auto before = resident_bytes();
  std::vector<std::unique_ptr<splitnet::Stage>> stages;
  const auto cut_s = time_s([&] { stages = model->split({Cut::after_index(model->layers().layers.size() / 2)}); });
  const auto parameters = stages[0]->info().parameter_bytes + stages[1]->info().parameter_bytes;
  state.counters["freeze_and_analyse_s"] = load_s;
  state.counters["cut_s"] = cut_s;
  state.counters["cut_memory_bytes"] = static_cast<double>(resident_bytes() - before);
  state.counters["parameter_bytes"] = static_cast<double>(parameters);
  std::printf(
      "cutting %s (%.0f MB of parameters, %zu layers): freeze and analyse %.2f s, cut %.4f s, memory +%.1f MB\n",
      item["name"].get<std::string>().c_str(), static_cast<double>(parameters) / 1e6, model->layers().layers.size(),
      load_s, cut_s, static_cast<double>(resident_bytes() - before) / 1e6);
}

void print(const std::vector<Row>& rows) {
  std::vector<double> long_ratios;
  std::vector<double> short_added;
  std::size_t cuts = 0;
  std::size_t refused = 0;
  std::size_t identical = 0;
  std::printf("%-34s %6s %10s %9s %9s %12s\n", "model", "layers", "uncut ms", "median", "worst", "worst +us");
  for (const auto& row : rows) {
    const double worst = row.ratios.empty() ? 0 : *std::max_element(row.ratios.begin(), row.ratios.end());
    const double added = row.added_s.empty() ? 0 : *std::max_element(row.added_s.begin(), row.added_s.end());
    std::printf("%-34s %6zu %10.3f %9.4f %9.4f %12.1f\n", row.model.c_str(), row.layers, row.uncut_s * 1e3,
                median(row.ratios), worst, added * 1e6);
    if (row.uncut_s >= short_model_s) {
      long_ratios.insert(long_ratios.end(), row.ratios.begin(), row.ratios.end());
    } else {
      short_added.insert(short_added.end(), row.added_s.begin(), row.added_s.end());
    }
    cuts += row.cuts;
    refused += row.refused;
    identical += row.identical;
  }
  const auto worst_of = [](const std::vector<double>& v) {
    return v.empty() ? 0.0 : *std::max_element(v.begin(), v.end());
  };
  std::printf(
      "models of 5 ms and more: ratio over all cuts above; shorter ones add %.1f us at the median, %.1f us at worst\n",
      median(short_added) * 1e6, worst_of(short_added) * 1e6);
  std::printf("slicing: overhead_median=%.4f overhead_worst=%.4f models=%zu cuts=%zu identical=%zu refused=%zu\n",
              median(long_ratios), worst_of(long_ratios), rows.size(), cuts, identical, refused);
}

}  // namespace

int main(int argc, char** argv) {
  // Thresholds that glibc would otherwise move while the program runs, for both sides alike.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  at::set_num_threads(1);
  const at::NoGradGuard no_grad;

  std::ifstream file(std::string(zoo) + "manifest.json");
  if (!file) {
    std::fprintf(stderr, "slicing: build/zoo/manifest.json is missing; `scripts/bench slicing` makes it\n");
    return 1;
  }
  const auto manifest = nlohmann::json::parse(file);
  std::vector<Row> rows;
  for (const auto& item : manifest) {
    if (item["expect"] != "ok" || !item["inputs"].contains("full")) continue;
    const auto name = "slicing/" + item["name"].get<std::string>() + "." + item["form"].get<std::string>();
    benchmark::RegisterBenchmark(name.c_str(),
                                 [&rows, &item](benchmark::State& state) {
                                   for (auto _ : state) {
                                     rows.push_back(measure(item));
                                     const auto& row = rows.back();
                                     state.SetIterationTime(row.uncut_s);
                                     state.counters["ratio_median"] = median(row.ratios);
                                     state.counters["ratio_worst"] =
                                         row.ratios.empty() ? 0
                                                            : *std::max_element(row.ratios.begin(), row.ratios.end());
                                     state.counters["added_median_s"] = median(row.added_s);
                                     state.counters["identical"] = static_cast<double>(row.identical);
                                   }
                                 })
        ->UseManualTime()
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
  }
  for (const auto& item : manifest) {
    if (item["name"] != "vgg11" || item["form"] != "trace") continue;  // the largest: 133 M parameters
    benchmark::RegisterBenchmark("cutting/vgg11.trace",
                                 [&item](benchmark::State& state) {
                                   for (auto _ : state) measure_cutting(item, state);
                                 })
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
  }
  if (!splitnet::bench::run_benchmarks(argc, argv)) return 1;
  print(rows);
  return 0;
}
