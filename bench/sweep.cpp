// SPDX-License-Identifier: Apache-2.0
// Is the planner right? Plans of six networks on links from 1 to 1000 Mbit/s and at three ratios of speed between
// device and worker, each predicted and then measured in another process, beside what repeating the measurement gives.
// Every sweep is written to build/bench/sweep/MODEL.RATIO.LINK.json. Codecs that bench_codec_sweep calibrated before
// are among the plans, as far as they change at most 1 % of the answers.
//
//   bench_sweep [--cuts N] [options of Google Benchmark]; scripts/bench sweep makes the models first.

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "headline.hpp"
#include "quantiles.hpp"
#include "repeated_model.hpp"
#include "run_benchmarks.hpp"
#include "sweep_networks.hpp"
#include "sweep_worker.hpp"

namespace {

using namespace splitnet;
using Network = bench::SweepNetwork;

// ---- What is swept.

struct Ratio {
  const char* name;
  std::size_t device_passes;  ///< For one.
  std::size_t worker_passes;
  int worker_threads;
};
constexpr Ratio ratios[] = {
    {"device_slower", 4, 1, 2},  // A phone and a server with two cores.
    {"equal", 1, 1, 1},
    {"worker_slower", 1, 2, 1},  // A worker that others use too.
};

struct Link {
  const char* name;
  const char* shape;        ///< Of `shaped:`; empty: the kernel shapes.
  double bit_per_s;         ///< Of the kernel's filter.
  std::size_t repetitions;  ///< For each half.
};
constexpr Link links[] = {
    {"1Mbit_80ms", "up=1Mbit,down=4Mbit,delay=40ms", 0, 2},
    {"4Mbit_50ms", "up=4Mbit,down=16Mbit,delay=25ms", 0, 3},
    {"12Mbit_30ms", "up=12Mbit,down=40Mbit,delay=15ms", 0, 4},
    {"40Mbit_10ms", "up=40Mbit,down=40Mbit,delay=5ms", 0, 5},
    {"200Mbit_4ms", "up=200Mbit,down=200Mbit,delay=2ms", 0, 6},
    {"1000Mbit_1ms", "up=1000Mbit,down=1000Mbit,delay=500us", 0, 6},
    {"tbf_50Mbit", "", 50e6, 6},
    {"tbf_300Mbit", "", 300e6, 6},
};
constexpr double longest_plan_s = 0.6;
constexpr double max_accuracy_loss = 0.01;
std::size_t cuts_per_network = 3;

// ---- The models.

std::shared_ptr<const Model> repeated(std::shared_ptr<const Model> model, std::size_t passes) {
  if (passes == 1) return model;
  return std::make_shared<bench::RepeatedModel>(std::move(model), passes);
}

std::string served_name(const Network& network, std::size_t passes) {
  return std::string(network.name) + ".x" + std::to_string(passes);
}

// ---- The worker process.

int serve(const std::string& address) {
  const auto registry = TransportRegistry::with_defaults();
  ListenOptions listen;
  listen.allow_remote = true;
  std::vector<std::unique_ptr<Worker>> workers;
  std::map<std::string, std::shared_ptr<const Model>> models;
  for (const int threads : {1, 2}) {
    WorkerOptions options;
    options.stage.threads = threads;
    options.cache.max_stages = 4096;
    workers.push_back(Worker::create(std::move(options)));
    for (const Network& network : bench::sweep_networks) {
      auto& model = models[network.name];
      if (!model) model = bench::load_model(network);
      for (const std::size_t passes : {1, 2}) {
        workers.back()->add_model(served_name(network, passes), repeated(model, passes));
      }
    }
    std::printf("%s\n", workers.back()->serve(registry, "tcp://" + address + ":0", listen).c_str());
  }
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

// ---- The sweep.

/// One network on one link at one ratio.
struct Cell {
  std::string network;
  std::string ratio;
  std::string link;
  bool by_kernel = false;
  std::size_t layers = 0;
  LinkSweep sweep;
};

class Bench {
 public:
  explicit Bench(const bench::WorkerProcess& worker) : worker_(worker) {}

  void sweep(const Network& network, const Ratio& ratio) {
    const auto model = repeated(model_of(network), ratio.device_passes);
    SweepOptions options;
    options.threads = 1;
    TwoTierOptions& planning = options.planning;
    planning.model_name = served_name(network, ratio.worker_passes);
    planning.codecs = codecs_for(network);
    options.max_cuts = cuts_per_network;
    options.max_plan_s = longest_plan_s;
    for (const Link& link : links) {
      const std::string worker = endpoint_of(link, ratio.worker_threads);
      if (worker.empty()) continue;
      options.workers = {worker};
      options.links = {profile_of(link, worker)};
      options.repetitions = link.repetitions;
      const Sweep result = run_sweep(model, options);
      planning.device.profile = result.device;
      planning.worker.profile = result.worker;
      save(result, std::string(network.name) + "." + ratio.name + "." + link.name);
      cells_.push_back(
          {network.name, ratio.name, link.name, *link.shape == 0, model->layers().layers.size(), result.links.front()});
      print_cell(cells_.back());
    }
  }

  void print() const {
    if (!worker_.why_not_shaped().empty()) {
      std::printf("no links shaped by the kernel (tbf): %s\n", worker_.why_not_shaped().c_str());
    }
    for (const Network& network : bench::sweep_networks) {
      print_part(network.name, [&](const Cell& cell) { return cell.network == network.name; });
    }
    for (const Ratio& ratio : ratios) {
      print_part(ratio.name, [&](const Cell& cell) { return cell.ratio == ratio.name; });
    }
    for (const Link& link : links) {
      print_part(link.name, [&](const Cell& cell) { return cell.link == link.name; });
    }
    print_part("shaped:", [](const Cell& cell) { return !cell.by_kernel; });
    print_part("tbf", [](const Cell& cell) { return cell.by_kernel; });
    print_terms();
    const auto all = figures_of([](const Cell&) { return true; });
    char figures[200];
    std::snprintf(figures, sizeof figures,
                  "prediction_error_median=%.4f prediction_error_p95=%.4f regret_median=%.4f regret_worst=%.4f "
                  "split_wins=%zu cells=%zu",
                  bench::median(all.errors), bench::quantile(all.errors, 0.95), bench::median(all.regrets),
                  bench::quantile(all.regrets, 1), all.split_wins, all.regrets.size());
    bench::print_headline("sweep", figures);
  }

 private:
  struct Figures {
    std::vector<double> errors;
    std::vector<double> profile_errors;
    std::vector<double> repetitions;
    std::vector<double> regrets;
    std::size_t split_wins = 0;
    std::size_t not_measured = 0;
  };

  template <class Which>
  Figures figures_of(Which&& which) const {
    Figures figures;
    for (const Cell& cell : cells_) {
      if (!which(cell)) continue;
      for (const SweepRow& row : cell.sweep.rows) {
        if (!row.not_measured.empty()) {
          ++figures.not_measured;
          continue;
        }
        figures.errors.push_back(row.prediction_error());
        figures.repetitions.push_back(row.repetition_error());
        figures.profile_errors.push_back(row.profile_error());
      }
      figures.regrets.push_back(std::max(0.0, cell.sweep.regret));  // Negative: the second half disagrees.
      if (cell.sweep.split_wins) ++figures.split_wins;
    }
    return figures;
  }

  template <class Which>
  void print_part(const std::string& name, Which&& which) const {
    const auto part = figures_of(which);
    if (part.regrets.empty()) return;
    std::printf(
        "%-20s %4zu plans (%zu not measured): error median %5.1f %% p95 %5.1f %%, without load factors %5.1f %% and "
        "%5.1f %%, repeating it %5.1f %% and %5.1f %%; %3zu cells: regret median %5.2f %% worst %5.1f %%, split wins "
        "%zu\n",
        name.c_str(), part.errors.size(), part.not_measured, 100 * bench::median(part.errors),
        100 * bench::quantile(part.errors, 0.95), 100 * bench::median(part.profile_errors),
        100 * bench::quantile(part.profile_errors, 0.95), 100 * bench::median(part.repetitions),
        100 * bench::quantile(part.repetitions, 0.95), part.regrets.size(), 100 * bench::median(part.regrets),
        100 * bench::quantile(part.regrets, 1), part.split_wins);
  }

  /// Which term is hardest to predict: its error as a part of the whole latency.
  void print_terms() const {
    const std::pair<const char*, double SweepTimes::*> terms[] = {
        {"head", &SweepTimes::head_s},     {"encode", &SweepTimes::encode_s}, {"transport", &SweepTimes::transport_s},
        {"decode", &SweepTimes::decode_s}, {"tail", &SweepTimes::tail_s},
    };
    for (const auto& [name, term] : terms) {
      std::vector<double> errors;
      std::vector<double> signed_errors;
      for (const Cell& cell : cells_) {
        for (const SweepRow& row : cell.sweep.rows) {
          if (!row.not_measured.empty() || row.measured.*term == 0) continue;
          signed_errors.push_back((row.predicted.*term - row.measured.*term) / row.measured.total_s);
          errors.push_back(std::abs(signed_errors.back()));
        }
      }
      std::printf(
          "%-10s |predicted - measured| as a part of the latency: median %5.2f %%, p95 %5.2f %%; bias %+5.2f %%\n",
          name, 100 * bench::median(errors), 100 * bench::quantile(errors, 0.95), 100 * bench::median(signed_errors));
    }
  }

  static void print_cell(const Cell& cell) {
    const auto text = [](const SweepRow& row) {
      char numbers[80];
      std::snprintf(numbers, sizeof numbers, " (predicted %.2f ms, measured %.2f)", row.predicted.total_s * 1e3,
                    row.measured.total_s * 1e3);
      return row.cut + ", " + row.codec.substr(0, row.codec.find(':')) + numbers;
    };
    const auto& rows = cell.sweep.rows;
    std::printf("%-18s %-13s %-12s chosen %s; best %s; regret %.1f %%%s\n", cell.network.c_str(), cell.ratio.c_str(),
                cell.link.c_str(), text(rows[cell.sweep.chosen]).c_str(), text(rows[cell.sweep.best]).c_str(),
                100 * cell.sweep.regret, cell.sweep.split_wins ? "; split wins" : "");
    std::fflush(stdout);
  }

  std::shared_ptr<const Model> model_of(const Network& network) {
    auto& model = models_[network.name];
    if (!model) model = bench::load_model(network);
    return model;
  }

  std::string endpoint_of(const Link& link, int threads) const {
    const bool by_kernel = *link.shape == 0;
    if (by_kernel && !worker_.why_not_shaped().empty()) return {};
    worker_.shape(link.bit_per_s);
    const std::string& inner = worker_.endpoint(threads);
    return by_kernel ? inner : "shaped://" + std::string(link.shape) + "@" + inner;
  }

  /// Measured once: all networks use the same link.
  LinkProfile profile_of(const Link& link, const std::string& worker) {
    auto [found, is_new] = profiles_.try_emplace(link.name);
    if (!is_new) return found->second;
    LinkProfile& profile = found->second;
    profile = probe_link(*TransportRegistry::with_defaults().connect(worker));
    std::printf("%-13s rtt %.3f ms, jitter %.3f ms, overhead %.3f ms, up %.2f Mbit/s, down %.2f Mbit/s\n", link.name,
                profile.rtt_s * 1e3, profile.jitter_s * 1e3, profile.overhead_s * 1e3, profile.up_bytes_per_s * 8e-6,
                profile.down_bytes_per_s * 8e-6);
    return profile;
  }

  std::vector<CodecProfile> codecs_for(const Network& network) {
    const auto calibration = bench::find_calibration(network, model_of(network)->layers());
    return bench::lossy_codecs(network, calibration, max_accuracy_loss);
  }

  static void save(const Sweep& sweep, const std::string& name) {
    std::filesystem::create_directories("build/bench/sweep");
    std::ofstream("build/bench/sweep/" + name + ".json") << to_json(sweep);
  }

  const bench::WorkerProcess& worker_;
  std::map<std::string, std::shared_ptr<const Model>> models_;
  std::map<std::string, LinkProfile> profiles_;
  std::vector<Cell> cells_;
};

}  // namespace

int main(int argc, char** argv) try {
  // Thresholds that glibc would otherwise move while the program runs, on both sides.
  mallopt(M_MMAP_THRESHOLD, 256 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  if (argc == 3 && std::strcmp(argv[1], "--worker") == 0) return serve(argv[2]);
  if (!std::filesystem::exists("build/zoo/resnet50.script.pt")) {
    std::fprintf(stderr, "sweep: models are missing in build/zoo; `scripts/bench sweep` makes them\n");
    return 1;
  }
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--cuts") != 0) continue;
    cuts_per_network = std::strtoul(argv[i + 1], nullptr, 10);
    std::copy(argv + i + 2, argv + argc, argv + i);
    argc -= 2;
    break;
  }
  const bench::WorkerProcess worker;
  Bench sweeps(worker);
  for (const Network& network : bench::sweep_networks) {
    for (const Ratio& ratio : ratios) {
      benchmark::RegisterBenchmark(("sweep/" + std::string(network.name) + "/" + ratio.name).c_str(),
                                   [&](benchmark::State& state) {
                                     for (auto _ : state) {
                                       try {
                                         sweeps.sweep(network, ratio);
                                       } catch (const Error& error) {
                                         state.SkipWithError(error.what());
                                       }
                                     }
                                   })
          ->Iterations(1)
          ->Unit(benchmark::kSecond);
    }
  }
  if (!bench::run_benchmarks(argc, argv)) return 1;
  sweeps.print();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "sweep: %s\n", error.what());
  return 1;
}
