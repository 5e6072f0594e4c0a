// SPDX-License-Identifier: Apache-2.0
// What boundaries of two networks with real weights tell about photos: distance correlation, and what an attacker who
// has the head rebuilds, at five depths with three codecs. The examples are crops of the photos of the zoo and their
// mirror images.
//
//   bench_leakage [--steps N] [options of Google Benchmark]; scripts/bench leakage makes the models first.

#include <benchmark/benchmark.h>
#include <splitnet/splitnet.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "flops_share.hpp"
#include "run_benchmarks.hpp"

namespace {

using namespace splitnet;
using Examples = std::vector<std::vector<Value>>;

constexpr const char* codecs[] = {"raw", "int8:per=channel", "int4:per=channel;lossless=zstd"};

constexpr std::size_t attacked = 2;

/// Squares of `side` pixels are cut out of all photos that the zoo has for the network.
struct Network {
  const char* name;
  const char* file;  ///< In build/zoo, with its inputs beside it.
  std::int64_t side;
};
constexpr Network networks[] = {
    {"mobilenet_v2", "mobilenet_v2_imagenet", 128},
    {"emotion", "emotion", 64},
};

std::string in_zoo(const Network& network, const char* ending) {
  return "build/zoo/" + std::string(network.file) + ending;
}

/// Each photo once.
std::vector<at::Tensor> load_photos(const Network& network) {
  std::vector<at::Tensor> photos;
  for (const char* ending : {".other.inputs.pt", ".full.inputs.pt"}) {
    const auto pictures = torch::jit::load(in_zoo(network, ending)).attr("v0").toTensor();
    for (std::int64_t i = pictures.size(0); i-- > 0;) {
      const auto photo = pictures.narrow(0, i, 1);
      const bool is_known = std::any_of(photos.begin(), photos.end(), [&](const auto& other) {
        return other.sizes() == photo.sizes() && other.equal(photo);
      });
      if (!is_known) photos.push_back(photo);
    }
  }
  return photos;
}

/// Crops at 3 × 3 places and their mirror images; the first examples are of different photos.
Examples make_examples(const Network& network) {
  const auto photos = load_photos(network);
  Examples examples;
  for (const bool is_mirrored : {false, true}) {
    for (const std::int64_t place : {4, 0, 8, 1, 7, 2, 6, 3, 5}) {
      for (const auto& photo : photos) {
        const std::int64_t margin = photo.size(2) - network.side;
        if (margin == 0 && place != 4) continue;  // There is only one place.
        const auto crop =
            photo.narrow(2, margin * (place / 3) / 2, network.side).narrow(3, margin * (place % 3) / 2, network.side);
        examples.push_back({Value((is_mirrored ? crop.flip(3) : crop).contiguous())});
      }
    }
  }
  return examples;
}

void print_row(const Network& network, const LayerGraph& graph, const Leakage& leakage) {
  std::printf("%-13s %-28s %5.1f %%  %-32s %6.3f  ", network.name, graph.layers[leakage.head.back()].name.c_str(),
              100 * bench::flops_share(graph, leakage.head), leakage.codec.c_str(),
              leakage.distance_correlation.value_or(0));
  if (leakage.rebuilt) {
    std::printf("%6.1f %6.1f  %6.3f  (%.1f, %.3f)\n", leakage.rebuilt->psnr_db, *leakage.highest_psnr_db,
                leakage.rebuilt->ssim.value_or(0), leakage.trivial->psnr_db, leakage.trivial->ssim.value_or(0));
  } else {
    std::printf("no statement: %s\n", leakage.no_statement.c_str());
  }
  std::fflush(stdout);
}

/// For the headline: NAME_KEY=decibels, or nan without a statement.
std::string figure(const Network& network, const char* key, const Leakage& leakage) {
  char text[100];
  std::snprintf(text, sizeof text, " %s_%s_psnr_db=%.1f", network.name, key,
                leakage.rebuilt ? leakage.rebuilt->psnr_db : std::nan(""));
  return text;
}

std::string measure(const Network& network, std::size_t steps) {
  const auto examples = make_examples(network);
  const auto model = Partitioner::load(in_zoo(network, ".script.pt"), examples.front());
  LeakageOptions options;
  options.steps = steps;
  options.attacked = attacked;
  options.stage.threads = 1;
  options.codecs.clear();
  for (const char* codec : codecs) options.codecs.push_back({.name = codec});
  options.progress = [](std::size_t done, std::size_t total) {
    std::fprintf(stderr, "\r%zu of %zu passes%s", done, total, done == total ? "\n" : "");
  };
  std::printf("%s: %zu examples of %lld pixels\n", network.name, examples.size(),
              static_cast<long long>(network.side * network.side));
  const auto found = measure_leakage(*model, examples, options);
  std::printf("%-13s %-28s %7s  %-32s %6s  %6s %6s  %6s  trivial\n", "network", "after", "FLOPs", "codec", "R*", "PSNR",
              "best", "SSIM");
  for (const Leakage& leakage : found) print_row(network, model->layers(), leakage);
  const std::size_t deepest = found.size() - std::size(codecs);
  return figure(network, "first_raw", found.front()) + figure(network, "deepest_raw", found[deepest]) +
         figure(network, "deepest_int4", found.back());
}

}  // namespace

int main(int argc, char** argv) try {
  std::size_t steps = LeakageOptions{}.steps;
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], "--steps") != 0) continue;
    steps = std::strtoul(argv[i + 1], nullptr, 10);
    std::copy(argv + i + 2, argv + argc, argv + i);
    argc -= 2;
    break;
  }
  for (const Network& network : networks) {
    if (std::filesystem::exists(in_zoo(network, ".script.pt"))) continue;
    std::fprintf(stderr, "leakage: models are missing in build/zoo; `scripts/bench leakage` makes them\n");
    return 1;
  }
  std::string headline = "leakage:";
  for (const Network& network : networks) {
    benchmark::RegisterBenchmark(("leakage/" + std::string(network.name)).c_str(),
                                 [&](benchmark::State& state) {
                                   for (auto _ : state) headline += measure(network, steps);
                                 })
        ->Iterations(1)
        ->Unit(benchmark::kSecond);
  }
  if (!bench::run_benchmarks(argc, argv)) return 1;
  std::printf("%s\n", headline.c_str());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "leakage: %s\n", error.what());
  return 1;
}
