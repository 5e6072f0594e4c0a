// SPDX-License-Identifier: Apache-2.0
// A chain of layers that take their time asleep: so a dozen sessions run side by side, each as if it had the machine
// for itself.
#pragma once

#include <splitnet/core.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace splitnet::bench {

/// What is known of a network: boundaries[i] is what crosses the cut behind i layers, the first one the input, the last
/// one the output, in bytes of f32.
struct Chain {
  std::string fingerprint;
  std::vector<double> layer_s;
  std::vector<std::int64_t> boundaries;
  double stage_overhead_s = 0;
};

/// What a real network's profile and graph say.
inline Chain chain_of(const LayerGraph& graph, const DeviceProfile& profile) {
  Chain chain;
  chain.fingerprint = graph.fingerprint;
  chain.stage_overhead_s = profile.stage_overhead_s;
  for (const LayerTime& layer : profile.layers) chain.layer_s.push_back(layer.time_s);
  const auto layers = static_cast<std::ptrdiff_t>(graph.layers.size());
  for (std::ptrdiff_t cut = 0; cut <= layers; ++cut) {
    std::int64_t bytes = 0;
    for (const GraphValue& value : graph.values) {
      const bool is_made = value.producer < cut;
      const bool is_used = !value.consumers.empty() && static_cast<std::ptrdiff_t>(value.consumers.back()) >= cut;
      if (is_made && (is_used || (cut == layers && value.is_output))) bytes += value.bytes;
    }
    chain.boundaries.push_back(std::max<std::int64_t>(bytes / 4 * 4, 4));
  }
  return chain;
}

inline Tensor zeros(std::int64_t bytes) {
  Tensor tensor = Tensor::empty(DType::f32, {bytes / 4});
  std::memset(tensor.data(), 0, static_cast<std::size_t>(bytes));
  return tensor;
}

class TimedStage final : public Stage {
 public:
  TimedStage(StageInfo info, double time_s, Tensor output)
      : info_(std::move(info)), time_s_(time_s), output_(std::move(output)) {}
  const StageInfo& info() const noexcept override { return info_; }
  std::vector<Value> run(std::vector<Value> inputs) const override {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(time_s_);
    if (info_.inputs == info_.outputs) return inputs;
    std::this_thread::sleep_until(until);
    return {output_};
  }
  void save(const std::string& path) const override {
    throw Error(ErrorCode::unavailable, "a timed stage can't be written to '" + path + "'");
  }

 private:
  const StageInfo info_;
  const double time_s_;
  const Tensor output_;
};

class TimedModel final : public Model {
 public:
  /// `factor`: how much slower than the profile this machine is.
  TimedModel(Chain chain, double factor) : chain_(std::move(chain)), factor_(factor) {
    graph_.fingerprint = chain_.fingerprint;
    const std::size_t count = chain_.layer_s.size();
    for (std::size_t i = 0; i <= count; ++i) {
      GraphValue value;
      value.producer = static_cast<std::ptrdiff_t>(i) - 1;
      if (i < count) value.consumers = {i};
      value.is_output = i == count;
      value.type = "Tensor";
      value.dtype = "f32";
      value.sizes = {chain_.boundaries[i] / 4};
      value.bytes = chain_.boundaries[i];
      graph_.values.push_back(std::move(value));
      if (i == count) break;
      Layer layer;
      layer.name = "layer." + std::to_string(i);
      graph_.layers.push_back(std::move(layer));
    }
    result_shape_.tree = ResultShape::Slot{0};
    example_inputs_ = {zeros(chain_.boundaries.front())};
  }

  const LayerGraph& layers() const noexcept override { return graph_; }
  std::string framework() const override { return "timed"; }
  const ResultShape& result_shape() const noexcept override { return result_shape_; }
  std::size_t result_slot_count() const noexcept override { return 1; }
  const std::vector<Value>& example_inputs() const noexcept override { return example_inputs_; }
  std::optional<Refusal> refusal(const std::vector<LayerSet>&) const override { return std::nullopt; }
  std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions&) const override {
    const std::size_t count = graph_.layers.size();
    const std::size_t first = key.index == 0 ? 0 : key.cuts.at(key.index - 1).size();
    const std::size_t last = key.index == key.cuts.size() ? count : key.cuts.at(key.index).size();
    StageInfo info;
    info.fingerprint = graph_.fingerprint;
    info.index = key.index;
    info.stage_count = key.cuts.size() + 1;
    info.inputs = {{static_cast<std::uint32_t>(first), "Tensor"}};
    info.outputs = {{static_cast<std::uint32_t>(last), "Tensor"}};
    // With every layer in the head nothing is left to be sent.
    const bool is_result = last == count;
    if (is_result && first == count) info.inputs = info.outputs = {};
    if (!is_result) info.boundary_count = 1;
    if (is_result && first < count) info.result_slots = {0};
    return std::make_unique<TimedStage>(std::move(info), time_s(first, last), zeros(chain_.boundaries[last]));
  }
  std::vector<LayerTimings> time_layers(const std::vector<Value>&, std::size_t, const StageOptions&) const override {
    throw Error(ErrorCode::unsupported_model, "a timed model is not profiled: profile() is known");
  }

  /// Of the layers [first, last).
  [[nodiscard]] double time_s(std::size_t first, std::size_t last) const {
    if (first == last) return 0;
    const auto begin = chain_.layer_s.begin();
    const double layers_s =
        std::accumulate(begin + static_cast<std::ptrdiff_t>(first), begin + static_cast<std::ptrdiff_t>(last), 0.0);
    return factor_ * (layers_s + chain_.stage_overhead_s);
  }
  [[nodiscard]] DeviceProfile profile() const {
    DeviceProfile profile;
    profile.fingerprint = graph_.fingerprint;
    profile.machine = profile.framework = "timed";
    profile.inputs = inputs_of(graph_);
    profile.stage_overhead_s = factor_ * chain_.stage_overhead_s;
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      profile.layers.push_back({graph_.layers[i].name, factor_ * chain_.layer_s[i], 0, 0});
    }
    profile.pass_s = time_s(0, graph_.layers.size());
    return profile;
  }

 private:
  const Chain chain_;
  const double factor_;
  LayerGraph graph_;
  ResultShape result_shape_;
  std::vector<Value> example_inputs_;
};

/// Gives tensors the size that a real codec gives them, in the time that it takes: `sized:bytes=N;encode=BYTES_PER_S;
/// decode=BYTES_PER_S`.
class SizedCodec final : public Codec {
 public:
  SizedCodec(std::size_t bytes, double encode_bytes_per_s, double decode_bytes_per_s, bool only_inputs)
      : bytes_(bytes), encode_(encode_bytes_per_s), decode_(decode_bytes_per_s), only_inputs_(only_inputs) {}
  bool only_inputs() const noexcept override { return only_inputs_; }
  bool takes(const Tensor&) const noexcept override { return true; }
  std::size_t max_coded_bytes(const Tensor&) const override { return bytes_; }
  EncodedSize encode(const Tensor& tensor, std::span<std::byte> coded) const override {
    sleep(tensor, encode_);
    std::memset(coded.data(), 0, bytes_);
    return {bytes_, false};
  }
  void decode(std::span<const std::byte>, Tensor& tensor) const override {
    sleep(tensor, decode_);
    std::memset(tensor.data(), 0, tensor.packed_bytes());
  }

 private:
  static void sleep(const Tensor& tensor, double bytes_per_s) {
    std::this_thread::sleep_for(
        std::chrono::duration<double>(static_cast<double>(tensor.packed_bytes()) / bytes_per_s));
  }
  const std::size_t bytes_;
  const double encode_;
  const double decode_;
  const bool only_inputs_;
};

}  // namespace splitnet::bench
