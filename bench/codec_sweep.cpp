// SPDX-License-Identifier: Apache-2.0
// What codecs cost in fidelity: six networks with trained weights, cut near 25, 50 and 75 % of their FLOPs, each rung
// of the ladder on inputs whose photos, people or chapters calibration has not seen; beside them the picture itself as
// JPEG and WebP. Calibrations are written to build/bench/codec_sweep/NAME.json, measurements to NAME.rungs.json as each
// network is done, and those of all networks, measured now or before, to build/bench/codec_sweep.json.
//
//   bench_codec_sweep [--networks NAME,NAME] [--tests N]; scripts/bench codec_sweep makes models and inputs first.

#include <malloc.h>
#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "flops_share.hpp"
#include "headline.hpp"

namespace {

using namespace splitnet;
using nlohmann::json;

// ---- What is measured.

struct Network {
  const char* name;
  const char* model;   ///< In build.
  const char* inputs;  ///< In build/bench/codec_inputs.
  OutputKind output;
  std::vector<std::size_t> output_slots;
  std::vector<float> mean;  ///< Of the bytes / 255; empty: the inputs are no bytes.
  std::vector<float> std;
  std::vector<int> coarsenesses = {-32, -24, -16, -8, 0, 8, 16};
};
const float half = 127.0F / 255.0F;
const float lite_std = 128.0F / 255.0F;
// The one that takes longest first: the others run beside it.
const std::vector<Network> networks = {
    {"yolov3_tiny",
     "zoo/yolov3_tiny",
     "photos",
     OutputKind::numbers,
     {0, 1},
     {0, 0, 0},
     {1, 1, 1},
     {-40, -36, -32, -24, -16, -8, 0, 8, 16}},  // Numbers err sooner than classes.
    {"mobilenet_v2",
     "zoo/mobilenet_v2_imagenet",
     "photos",
     OutputKind::logits,
     {0},
     {0.485F, 0.456F, 0.406F},
     {0.229F, 0.224F, 0.225F}},
    {"efficientnet_lite0",
     "zoo/efficientnet_lite0_imagenet",
     "photos",
     OutputKind::logits,
     {0},
     {half, half, half},
     {lite_std, lite_std, lite_std}},
    {"minilm", "zoo/minilm", "passages", OutputKind::embedding, {1}, {}, {}},
    {"emotion", "zoo/emotion", "faces", OutputKind::probabilities, {0}, {0.5F}, {0.5F}},
    {"digits", "bench/codec_inputs/digits", "digits", OutputKind::logits, {0}, {}, {}},
};
const std::vector<std::string> ladder = {"f16", "int8:per=channel", "int8:per=channel;lossless=zstd",
                                         "int6:per=channel;lossless=zstd", "int4:per=channel;lossless=zstd"};
const std::vector<int> qualities = {97, 92, 85, 75, 50};

// ---- Inputs.

struct Inputs {
  std::vector<std::vector<Value>> examples;
  std::vector<std::size_t> groups;
  std::vector<std::size_t> labels;
  std::size_t calibration = 0;
};

/// Bytes as the model wants them.
at::Tensor pixels(const at::Tensor& bytes, const Network& network) {
  const auto channels = static_cast<std::int64_t>(network.mean.size());
  const auto mean = at::tensor(network.mean).reshape({1, channels, 1, 1});
  const auto std = at::tensor(network.std).reshape({1, channels, 1, 1});
  return (bytes.to(at::kFloat) / 255 - mean) / std;
}

Inputs load_inputs(const Network& network, std::size_t tests) {
  const auto holder = torch::jit::load("build/bench/codec_inputs/" + std::string(network.inputs) + ".pt");
  const auto groups = holder.attr("v0").toTensor();
  const auto labels = holder.attr("v2").toTensor();
  const auto items = holder.attr("v3").toTensor();
  Inputs inputs;
  inputs.calibration = static_cast<std::size_t>(holder.attr("v1").toInt());
  const auto total = static_cast<std::size_t>(items.size(0));
  // Fewer tests: every n-th, so that all groups stay.
  const double step = std::max(1.0, static_cast<double>(total - inputs.calibration) / static_cast<double>(tests));
  double next = static_cast<double>(inputs.calibration);
  for (std::size_t i = 0; i < total; ++i) {
    if (i >= inputs.calibration && static_cast<double>(i) < next) continue;
    if (i >= inputs.calibration) next += step;
    const auto at = static_cast<std::int64_t>(i);
    const auto item = items.narrow(0, at, 1);
    if (item.scalar_type() == at::kLong) {  // Tokens, filled up with zeros.
      const auto count = item.ne(0).sum().item<std::int64_t>();
      const auto ids = item.narrow(1, 0, count).contiguous();
      inputs.examples.push_back({to_value(ids), to_value(at::ones_like(ids))});
    } else {
      inputs.examples.push_back({to_value(network.mean.empty() ? item.contiguous() : pixels(item, network))});
    }
    inputs.groups.push_back(static_cast<std::size_t>(groups[at].item<std::int64_t>()));
    if (labels.size(0) > 0) inputs.labels.push_back(static_cast<std::size_t>(labels[at].item<std::int64_t>()));
  }
  return inputs;
}

// ---- Measurements.

std::string joined(const std::vector<float>& numbers) {
  std::ostringstream text;
  for (std::size_t i = 0; i < numbers.size(); ++i) text << (i > 0 ? "," : "") << numbers[i];
  return text.str();
}

/// "transform:tables=…;coarseness=4" without the digest, "jpeg:mean=…;std=…;quality=75" without mean and std.
std::string short_name(std::string name) {
  static const std::regex lengthy("(tables|mean|std)=[^;, ]*(,[0-9.]+)*;?");
  return std::regex_replace(name, lengthy, "");
}

struct Cell {
  std::string network;
  std::string cut;
  double flops_share = 0;
  double raw_bytes = 0;
  std::vector<CalibratedCodec> codecs;
};

/// Of f32 that the head sends for this example.
double boundary_bytes(const Model& model, const LayerSet& head, const std::vector<Value>& example) {
  const auto stage = model.make_stage({{head}, 0});
  const auto outputs = stage->run(example);
  double bytes = 0;
  for (std::size_t i = 0; i < stage->info().boundary_count; ++i) {
    const auto* tensor = outputs[i].get_if<Tensor>();
    if (tensor != nullptr && tensor->dtype == DType::f32) bytes += static_cast<double>(tensor->packed_bytes());
  }
  return bytes;
}

std::mutex printing;

std::vector<Cell> measure(const Network& network, std::size_t tests) {
  const Inputs inputs = load_inputs(network, tests);
  const auto model = Partitioner::load("build/" + std::string(network.model) + ".script.pt", inputs.examples.front());
  CalibrationOptions options;
  options.output = network.output;
  options.output_slots = network.output_slots;
  options.codecs = ladder;
  options.coarsenesses = network.coarsenesses;
  options.groups = inputs.groups;
  options.labels = inputs.labels;
  options.held_out = 1 - static_cast<double>(inputs.calibration) / static_cast<double>(inputs.examples.size());
  options.refined_losses = {0.005, 0.02};
  if (!network.mean.empty()) options.pixels = "mean=" + joined(network.mean) + ";std=" + joined(network.std);
  options.qualities = qualities;
  options.gradients = 4;
  options.stage.threads = 1;
  int printed = -1;
  options.progress = [&](std::size_t done, std::size_t total) {
    const auto percent = static_cast<int>(10 * done / total) * 10;
    if (percent == std::exchange(printed, percent)) return;
    const std::lock_guard lock(printing);
    std::fprintf(stderr, "%s: %d %% of %zu passes\n", network.name, percent, total);
  };
  const Calibration found = calibrate(*model, inputs.examples, options);
  save(found, "build/bench/codec_sweep/" + std::string(network.name) + ".json");
  const LayerGraph& graph = model->layers();
  std::vector<Cell> cells;
  std::map<LayerSet, std::size_t> cell_of;
  for (const CalibratedCodec& codec : found.codecs) {
    const LayerSet& head = *codec.profile.head;
    const auto [at, is_new] = cell_of.emplace(head, cells.size());
    if (is_new) {
      const std::string cut = head.empty() ? "input" : graph.layers[head.back()].name;
      cells.push_back({network.name,
                       cut,
                       bench::flops_share(graph, head),
                       boundary_bytes(*model, head, inputs.examples.back()),
                       {}});
    }
    cells[at->second].codecs.push_back(codec);
  }
  return cells;
}

// ---- What comes out.

/// Where a curve of (loss, ratio) passes a loss: between measured points in the logarithm of the ratio, and never
/// beyond them; 0: all points lose more.
double ratio_at(std::vector<std::pair<double, double>> points, double loss, bool logarithmic) {
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  double worst = 0;  // A finer rung that loses more than a coarser one is no better than that.
  for (auto& point : points) point.first = worst = std::max(worst, point.first);
  const auto scaled = [&](double number) { return logarithmic ? std::log(std::max(number, 1e-9)) : number; };
  if (points.empty() || points.front().first > loss) return 0;
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (points[i].first <= loss) continue;
    const double part =
        (scaled(loss) - scaled(points[i - 1].first)) / (scaled(points[i].first) - scaled(points[i - 1].first));
    return points[i - 1].second * std::pow(points[i].second / points[i - 1].second, part);
  }
  return points.back().second;
}

struct Figures {
  double half_point = 0;
  double two_points = 0;
  double low_divergence = 0;      ///< At 0.002 nat.
  double high_divergence = 0;     ///< At 0.01 nat.
  double refined_half_point = 0;  ///< The better of that, and of two codecs that keep to it.
  double refined_two_points = 0;
};

Figures figures_of(const Cell& cell) {
  std::vector<std::pair<double, double>> losses;
  std::vector<std::pair<double, double>> refined_losses;
  std::vector<std::pair<double, double>> divergences;
  for (const CalibratedCodec& one : cell.codecs) {
    if (one.profile.name.rfind("transform", 0) != 0) continue;
    if (one.profile.refinement) {
      refined_losses.emplace_back(1 - one.effect.agreement, 1 / one.profile.ratio);
      continue;
    }
    losses.emplace_back(1 - one.effect.agreement, 1 / one.profile.ratio);
    divergences.emplace_back(one.effect.divergence_nat, 1 / one.profile.ratio);
  }
  Figures figures{ratio_at(losses, 0.005, false), ratio_at(losses, 0.02, false), ratio_at(divergences, 0.002, true),
                  ratio_at(divergences, 0.01, true)};
  figures.refined_half_point = figures.half_point;
  figures.refined_two_points = figures.two_points;
  for (const auto& [loss, ratio] : refined_losses) {  // Points, not a curve.
    if (loss <= 0.005) figures.refined_half_point = std::max(figures.refined_half_point, ratio);
    if (loss <= 0.02) figures.refined_two_points = std::max(figures.refined_two_points, ratio);
  }
  return figures;
}

void print(const Cell& cell) {
  std::printf("\n%s behind %s (%.0f %% of the FLOPs), %.0f bytes of f32\n", cell.network.c_str(), cell.cut.c_str(),
              100 * cell.flops_share, cell.raw_bytes);
  std::printf("  %-34s %7s %8s %9s %17s %9s %9s %8s %8s\n", "codec", "ratio", "bytes", "agreement", "95 % interval",
              "KL (nat)", "max error", "enc MB/s", "dec MB/s");
  for (const CalibratedCodec& codec : cell.codecs) {
    const CodecEffect& effect = codec.effect;
    std::printf("  %-34s %7.2f %8.0f %9.4f [%.4f, %.4f] %9.5f %9.3g %8.0f %8.0f",
                short_name(codec.profile.name).c_str(), 1 / codec.profile.ratio, cell.raw_bytes * codec.profile.ratio,
                effect.agreement, effect.agreement_low, effect.agreement_high, effect.divergence_nat,
                effect.largest_error, codec.speed.encode_bytes_per_s * 1e-6, codec.speed.decode_bytes_per_s * 1e-6);
    if (effect.accuracy) {
      std::printf("  right %.4f, lost %+.4f [%+.4f, %+.4f]", effect.accuracy->exact, effect.accuracy->lost,
                  effect.accuracy->lost_low, effect.accuracy->lost_high);
    }
    std::printf("\n");
  }
  if (cell.cut == "input") return;
  const Figures at = figures_of(cell);
  std::printf(
      "  transform: ratio %.2f at 0.5 points (%.2f with close answers asked for again), %.2f at 2 points (%.2f), "
      "%.2f at 0.002 nat, %.2f at 0.01 nat\n",
      at.half_point, at.refined_half_point, at.two_points, at.refined_two_points, at.low_divergence,
      at.high_divergence);
}

json to_json(const Network& network, const Cell& cell) {
  json rungs = json::array();
  for (const CalibratedCodec& codec : cell.codecs) {
    const CodecEffect& effect = codec.effect;
    rungs.push_back({{"codec", short_name(codec.profile.name)},
                     {"ratio", 1 / codec.profile.ratio},
                     {"bytes", cell.raw_bytes * codec.profile.ratio},
                     {"examples", effect.examples},
                     {"agreement", effect.agreement},
                     {"agreement_low", effect.agreement_low},
                     {"agreement_high", effect.agreement_high},
                     {"divergence_nat", effect.divergence_nat},
                     {"largest_error", effect.largest_error},
                     {"encode_bytes_per_s", codec.speed.encode_bytes_per_s},
                     {"decode_bytes_per_s", codec.speed.decode_bytes_per_s}});
    if (effect.accuracy) {
      rungs.back()["accuracy"] = {{"exact", effect.accuracy->exact},
                                  {"lost", effect.accuracy->lost},
                                  {"lost_low", effect.accuracy->lost_low},
                                  {"lost_high", effect.accuracy->lost_high}};
    }
  }
  json document = {{"network", cell.network},
                   {"cut", cell.cut},
                   {"flops_share", cell.flops_share},
                   {"raw_bytes", cell.raw_bytes},
                   {"rungs", std::move(rungs)}};
  if (cell.cut == "input") return document;
  const Figures at = figures_of(cell);
  document["ratios"] = {{"half_point", at.refined_half_point},
                        {"two_points", at.refined_two_points},
                        {"one_request_half_point", at.half_point},
                        {"one_request_two_points", at.two_points}};
  if (network.output == OutputKind::logits || network.output == OutputKind::probabilities) {
    document["ratios"]["kl_0.002"] = at.low_divergence;
    document["ratios"]["kl_0.01"] = at.high_divergence;
  }
  return document;
}

std::string path_of(const Network& network) {
  return "build/bench/codec_sweep/" + std::string(network.name) + ".rungs.json";
}

/// Measurements of all networks, those of earlier runs too.
json read_measurements() {
  json cells = json::array();
  for (const Network& network : networks) {
    std::ifstream file(path_of(network));
    if (!file) continue;
    for (json& cell : json::parse(file)) cells.push_back(std::move(cell));
  }
  return cells;
}

/// Over the boundaries of all networks; divergences of those that name classes.
std::string headline(const json& cells) {
  std::map<std::string, double> least;
  double best_half_point = 0;
  std::size_t boundaries = 0;
  for (const json& cell : cells) {
    if (!cell.contains("ratios")) continue;
    ++boundaries;
    for (const auto& [name, ratio] : cell["ratios"].items()) {
      const auto [at, is_first] = least.emplace(name, ratio.get<double>());
      if (!is_first) at->second = std::min(at->second, ratio.get<double>());
    }
    best_half_point = std::max(best_half_point, cell["ratios"]["half_point"].get<double>());
  }
  std::ostringstream text;
  text << std::fixed << std::setprecision(2);
  for (const auto& [name, ratio] : least) text << "ratio_at_" << name << "_min=" << ratio << ' ';
  text << "ratio_at_half_point_max=" << best_half_point << " boundaries=" << boundaries;
  return text.str();
}

}  // namespace

int main(int argc, char** argv) try {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  std::string wanted;
  std::size_t tests = std::numeric_limits<std::size_t>::max();
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--networks" && i + 1 < argc) {
      wanted = std::string(",") + argv[++i] + ",";
    } else if (argument == "--tests" && i + 1 < argc) {
      tests = std::max(1UL, std::strtoul(argv[++i], nullptr, 10));
    } else if (argument.rfind("--benchmark_", 0) != 0) {  // Those are for the other programs of scripts/bench.
      std::fprintf(stderr, "usage: %s [--networks NAME,NAME] [--tests N]\n", argv[0]);
      return 2;
    }
  }
  std::vector<const Network*> chosen;
  for (const Network& network : networks) {
    if (wanted.empty() || wanted.find("," + std::string(network.name) + ",") != std::string::npos)
      chosen.push_back(&network);
  }
  std::filesystem::create_directories("build/bench/codec_sweep");
  // One network on each core, each with one thread.
  std::vector<std::string> failures;
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < chosen.size(); i = next++) {
      try {
        const auto cells = measure(*chosen[i], tests);
        const std::lock_guard lock(printing);
        json document = json::array();
        for (const Cell& cell : cells) {
          print(cell);
          document.push_back(to_json(*chosen[i], cell));
        }
        std::fflush(stdout);
        std::ofstream(path_of(*chosen[i])) << document.dump(1) << '\n';
      } catch (const std::exception& error) {
        const std::lock_guard lock(printing);
        failures.push_back(std::string(chosen[i]->name) + ": " + error.what());
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < std::max(1U, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  }
  for (const std::string& failure : failures) std::fprintf(stderr, "codec_sweep: %s\n", failure.c_str());
  if (!failures.empty()) return 1;
  const json cells = read_measurements();
  std::ofstream("build/bench/codec_sweep.json") << cells.dump(1) << '\n';
  bench::print_headline("codec_sweep", headline(cells));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "codec_sweep: %s\n", error.what());
  return 1;
}
