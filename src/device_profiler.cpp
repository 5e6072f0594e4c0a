// SPDX-License-Identifier: Apache-2.0
#include "splitnet/device_profiler.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "check_number.hpp"
#include "elapsed.hpp"
#include "splitnet/error.hpp"
#include "statistics.hpp"

namespace splitnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kCodecRuns = 9;
constexpr auto kCodecPause = std::chrono::milliseconds(10);  // As between requests: what was in the caches is gone.
constexpr std::size_t kEmptyPasses = 9;                      // Microseconds each.
constexpr std::size_t kStages = 4;

double time_pass_s(const Stage& stage, const std::vector<Value>& inputs) {
  const auto start = Clock::now();
  (void)stage.run(inputs);
  return detail::seconds_since(start);
}

std::vector<double> time_passes_s(const Stage& stage, const std::vector<Value>& inputs, std::size_t passes,
                                  std::chrono::nanoseconds pause) {
  std::vector<double> times_s;
  for (std::size_t i = 0; i < passes; ++i) {
    std::this_thread::sleep_for(pause);
    times_s.push_back(time_pass_s(stage, inputs));
  }
  return times_s;
}

double least(const std::vector<double>& numbers) {
  return *std::min_element(numbers.begin(), numbers.end());
}

/// Processor and cores, as far as the system says.
std::string describe_machine() {
  std::string name = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (!line.starts_with("model name") || colon == std::string::npos) continue;
    name = line.substr(colon + 2);
    break;
  }
  return name + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores";
}

double load_per_core() {
  double load = 0;
  if (getloadavg(&load, 1) != 1) return 0;
  return load / std::max(1U, std::thread::hardware_concurrency());
}

/// What a stage without layers costs.
double empty_stage_s(const Model& model, const std::vector<Value>& inputs, const ProfileOptions& options) {
  const StageKey nothing{{LayerSet{}}, 0};
  if (model.refusal(nothing.cuts)) return 0;
  const auto empty = model.make_stage(nothing, options.stage);
  return detail::median(time_passes_s(*empty, inputs, kEmptyPasses, options.pause));
}

/// Legal cuts that part the model into stages of about the same time.
std::vector<Cut> even_cuts(const Model& model, const std::vector<LayerTime>& layers) {
  double whole_s = 0;
  for (const LayerTime& layer : layers) whole_s += layer.time_s;
  const double part_s = whole_s / kStages;
  std::vector<Cut> cuts;
  std::vector<LayerSet> heads;
  LayerSet head;
  double stage_s = 0;
  for (std::size_t i = 0; i + 1 < layers.size() && cuts.size() + 1 < kStages; ++i) {
    head.push_back(i);
    stage_s += layers[i].time_s;
    if (stage_s < part_s) continue;
    heads.push_back(head);
    if (model.refusal(heads)) {
      heads.pop_back();
      continue;
    }
    cuts.push_back(Cut::of(head));
    stage_s = 0;
  }
  return cuts;
}

/// The sum over the stages, with a pause before each.
double time_stages_s(const std::vector<std::unique_ptr<Stage>>& stages, const std::vector<Value>& inputs,
                     std::chrono::nanoseconds pause) {
  double sum_s = 0;
  auto values = inputs;
  for (const auto& stage : stages) {
    std::this_thread::sleep_for(pause);
    const auto start = Clock::now();
    values = stage->run(std::move(values));
    sum_s += detail::seconds_since(start);
    values.resize(stage->info().boundary_count);
  }
  return sum_s;
}

/// The least that each took in any pass: what else goes on in the machine only adds, and not to all layers alike.
std::vector<LayerTime> least_layers(const LayerGraph& graph, const std::vector<LayerTimings>& passes) {
  std::vector<LayerTime> layers;
  for (std::size_t layer = 0; layer < graph.layers.size(); ++layer) {
    std::vector<double> times_s;
    for (std::size_t pass = 1; pass < passes.size(); ++pass) times_s.push_back(passes[pass].layer_s[layer]);
    layers.push_back(
        {graph.layers[layer].name, least(times_s), detail::spread(times_s), passes.front().peak_bytes[layer]});
  }
  return layers;
}

/// Scales the layers so that they add up to `sum_s`, and says by how much.
double calibrate(std::vector<LayerTime>& layers, double sum_s) {
  double measured_s = 0;
  for (const LayerTime& layer : layers) measured_s += layer.time_s;
  if (measured_s <= 0 || sum_s <= 0) return 1;
  const double factor = sum_s / measured_s;
  for (LayerTime& layer : layers) {
    layer.time_s *= factor;
    layer.spread_s *= factor;
  }
  return factor;
}

/// A tensor like one of the model's values, with what comes out of a ReLU: half of it zeros, the rest noise.
std::optional<Tensor> sample_for(const Codec& codec, const LayerGraph& graph) {
  constexpr double wanted_bytes = 256 * 1024;
  std::optional<Tensor> best;
  double best_distance = 0;
  for (const GraphValue& value : graph.values) {
    if (value.dtype != to_string(DType::f32) || value.bytes == 0) continue;
    const double distance = std::abs(std::log(static_cast<double>(value.bytes) / wanted_bytes));
    if (best && distance >= best_distance) continue;
    Tensor tensor = Tensor::empty(DType::f32, value.sizes);
    if (!codec.takes(tensor)) continue;
    best = std::move(tensor);
    best_distance = distance;
  }
  if (!best) return best;
  std::minstd_rand random(1);
  auto* const items = reinterpret_cast<float*>(best->data());
  for (std::int64_t i = 0; i < best->element_count(); ++i) {
    items[i] = std::max(0.0F, static_cast<float>(random()) * 0x1p-30F - 1);
  }
  return best;
}

}  // namespace

void ProfileOptions::validate() const {
  detail::check_at_least("ProfileOptions::whole_passes", whole_passes, 1);
  detail::check_at_least("ProfileOptions::stage_passes", stage_passes, 1);
  detail::check_at_least("ProfileOptions::layer_passes", layer_passes, 2);
}

DeviceProfile profile_device(const Model& model, const std::vector<Value>& inputs, const ProfileOptions& options) {
  options.validate();
  const auto whole = model.make_stage({}, options.stage);
  if (inputs.empty() && !whole->info().inputs.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "a model can't be profiled without inputs: make it with example inputs of the shapes that it will get "
                "(splitnet-worker: --input)");
  }
  const std::size_t total =
      options.warm_up_passes + options.layer_passes + 1 + options.whole_passes + options.stage_passes;
  std::size_t done = 0;
  const auto progress = [&](std::size_t passes) {
    done += passes;
    if (options.progress) options.progress(done, total);
  };
  DeviceProfile profile;
  profile.fingerprint = model.fingerprint();
  profile.machine = describe_machine();
  profile.framework = model.framework();
  profile.inputs = inputs_of(model.layers());
  profile.threads = options.stage.threads;
  profile.load = load_per_core();
  (void)time_passes_s(*whole, inputs, options.warm_up_passes, {});
  progress(options.warm_up_passes);
  profile.layers = least_layers(model.layers(), model.time_layers(inputs, options.layer_passes, options.stage));
  progress(options.layer_passes + 1);

  const auto stages = model.split(even_cuts(model, profile.layers), options.stage);
  std::vector<double> whole_s;
  std::vector<double> staged_s;
  for (std::size_t i = 0; i < std::max(options.whole_passes, options.stage_passes); ++i) {  // In turns.
    if (i < options.whole_passes) {
      whole_s.push_back(time_passes_s(*whole, inputs, 1, options.pause).front());
      progress(1);
    }
    if (i < options.stage_passes) {
      staged_s.push_back(time_stages_s(stages, inputs, options.pause));
      progress(1);
    }
  }
  profile.pass_s = detail::median(whole_s);
  profile.pass_spread_s = detail::spread(whole_s);
  const double added_s =
      stages.size() < 2 ? 0 : (least(staged_s) - least(whole_s)) / static_cast<double>(stages.size() - 1);
  profile.stage_overhead_s = std::min(std::max(added_s, empty_stage_s(model, inputs, options)), profile.pass_s / 2);
  profile.calibration = calibrate(profile.layers, profile.pass_s - profile.stage_overhead_s);
  return profile;
}

CodecSpeed measure_codec_speed(const std::string& name, const Codec& codec, const LayerGraph& graph) {
  const auto tensor = sample_for(codec, graph);
  if (!tensor) throw Error(ErrorCode::invalid_argument, "codec " + name + " takes no value of this model");
  return measure_codec_speed(name, codec, std::vector<Value>{*tensor});
}

CodecSpeed measure_codec_speed(const std::string& name, const Codec& codec, const std::vector<Value>& values) {
  double bytes = 0;
  for (const Value& value : values) {
    const auto* tensor = value.get_if<Tensor>();
    if (tensor != nullptr && codec.takes(*tensor)) bytes += static_cast<double>(tensor->packed_bytes());
  }
  if (bytes == 0) {
    std::string found;
    for (const Value& value : values) found += (found.empty() ? "" : ", ") + describe(value);
    throw Error(ErrorCode::invalid_argument, "codec " + name + " takes no value of the boundary: " + found);
  }
  std::vector<double> encode_s;
  std::vector<double> decode_s;
  for (std::size_t i = 0; i < kCodecRuns; ++i) {
    std::this_thread::sleep_for(kCodecPause);
    const auto start = Clock::now();
    auto encoded = encode_values(codec, values).values;
    const auto middle = Clock::now();
    const auto decoded = decode_values(codec, std::move(encoded));
    encode_s.push_back(detail::seconds_between(start, middle));
    decode_s.push_back(detail::seconds_since(middle));
  }
  constexpr double tick_s = 1e-9;
  return {name, bytes / std::max(detail::median(encode_s), tick_s), bytes / std::max(detail::median(decode_s), tick_s)};
}

std::vector<Value> example_boundary(const Model& model, const StageKey& key, const StageOptions& options) {
  std::vector<Value> values = model.example_inputs();
  if (values.empty()) {
    throw Error(ErrorCode::invalid_argument, "a model without example inputs has no example of its boundaries");
  }
  for (StageKey before{key.cuts, 0}; before.index < key.index; ++before.index) {
    const auto stage = model.make_stage(before, options);
    values = stage->run(std::move(values));
    values.resize(stage->info().boundary_count);
  }
  return values;
}

std::int64_t stage_memory_bytes(const DeviceProfile& profile, const StageInfo& info, const StageKey& key) {
  const auto contains = [](const LayerSet& set, std::size_t layer) {
    return std::binary_search(set.begin(), set.end(), layer);
  };
  std::int64_t peak_bytes = 0;
  for (std::size_t layer = 0; layer < profile.layers.size(); ++layer) {
    if (key.index > 0 && contains(key.cuts[key.index - 1], layer)) continue;
    if (key.index < key.cuts.size() && !contains(key.cuts[key.index], layer)) continue;
    peak_bytes = std::max(peak_bytes, profile.layers[layer].peak_bytes);
  }
  return info.parameter_bytes + peak_bytes;
}

double measure_load_factor(const Model& model, const std::vector<Value>& inputs, const DeviceProfile& profile,
                           std::size_t passes, const StageOptions& options, std::chrono::nanoseconds pause) {
  profile.validate();
  profile.check_fits(model.layers());
  if (passes == 0) throw Error(ErrorCode::invalid_argument, "measure_load_factor: 0 passes, expected at least 1");
  const auto whole = model.make_stage({}, options);
  return detail::median(time_passes_s(*whole, inputs, passes, pause)) / profile.pass_s;
}

}  // namespace splitnet
