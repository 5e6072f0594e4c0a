// SPDX-License-Identifier: Apache-2.0
// The networks of the sweeps, and the codecs that bench_codec_sweep calibrated for them.
#pragma once

#include <splitnet/splitnet.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "zoo/zoo_values.hpp"

namespace splitnet::bench {

struct SweepNetwork {
  const char* name;
  const char* file;    ///< In build/zoo, with its inputs beside it.
  const char* pixels;  ///< The codec of its pictures; empty: its input is no picture.
};
inline constexpr const char* imagenet_pixels = "u8:mean=0.485,0.456,0.406;std=0.229,0.224,0.225";
inline constexpr SweepNetwork sweep_networks[] = {
    {"mobilenet_v2", "mobilenet_v2_imagenet", imagenet_pixels},
    {"efficientnet_lite0", "efficientnet_lite0_imagenet", imagenet_pixels},
    {"emotion", "emotion", "u8:mean=0;std=1"},
    {"yolov3_tiny", "yolov3_tiny", "u8:mean=0;std=1"},
    {"minilm", "minilm", ""},
    {"resnet50", "resnet50", imagenet_pixels},
};

/// It must be one of them.
inline const SweepNetwork& network_named(const std::string& name) {
  return *std::find_if(std::begin(sweep_networks), std::end(sweep_networks),
                       [&](const SweepNetwork& network) { return name == network.name; });
}

/// With its full-size inputs.
inline std::shared_ptr<const Model> load_model(const SweepNetwork& network) {
  const std::string file = "build/zoo/" + std::string(network.file);
  const auto inputs = testing::load_zoo_values(file + ".full.inputs.pt");
  return Partitioner::load(file + ".script.pt", {inputs.begin(), inputs.end()});
}

/// Raw, and pixels as bytes: answers stay as they are.
inline std::vector<CodecProfile> lossless_codecs(const SweepNetwork& network) {
  std::vector<CodecProfile> codecs{{}};
  if (*network.pixels != 0) codecs.push_back({.name = network.pixels, .ratio = 0.25, .only_inputs = true});
  return codecs;
}

inline std::string calibration_file(const SweepNetwork& network) {
  return "build/bench/codec_sweep/" + std::string(network.name) + ".json";
}
/// By bench_codec_sweep.
inline bool is_calibrated(const SweepNetwork& network) {
  return std::filesystem::exists(calibration_file(network));
}
/// Nothing for a network that is not calibrated. Throws incompatible when it was another model.
inline std::optional<Calibration> find_calibration(const SweepNetwork& network, const LayerGraph& graph) {
  if (!is_calibrated(network)) return std::nullopt;
  auto calibration = load_calibration(calibration_file(network));
  calibration.check_fits(graph);
  return calibration;
}

/// The lossless codecs and f16; and for each calibrated cut the codec with the fewest bytes of those that change few
/// enough answers.
inline std::vector<CodecProfile> lossy_codecs(const SweepNetwork& network,
                                              const std::optional<Calibration>& calibration, double max_accuracy_loss) {
  auto codecs = lossless_codecs(network);
  codecs.push_back({.name = "f16", .ratio = 0.5});
  if (!calibration) return codecs;
  std::map<LayerSet, CodecProfile> best;
  for (const CodecProfile& codec : calibration->profiles(max_accuracy_loss)) {
    if (!codec.head || codec.refinement || codec.name == "f16") continue;
    const auto [found, is_new] = best.emplace(*codec.head, codec);
    if (!is_new && codec.ratio < found->second.ratio) found->second = codec;
  }
  for (const auto& [head, codec] : best) {
    const bool is_pixels = codec.only_inputs && codec.name.rfind("u8:", 0) == 0;
    if (!is_pixels) codecs.push_back(codec);
  }
  return codecs;
}

}  // namespace splitnet::bench
