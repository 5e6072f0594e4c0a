// SPDX-License-Identifier: Apache-2.0
// A model of plain arithmetic, so that sessions and workers are tested fast and without libtorch.
//
//   layer 0      stem      y0 = a·x + b, and the integer k = number of elements
//   layer 1      chain.1   y1 = a·y0 + b
//   layer 2      branch    result 1 = a·y1 + b          (known early)
//   layer 3      chain.2   y2 = a·y1 + b                (into y1's own memory with `in_place`)
//   layer 4 …    chain.i   yi = a·y(i−1) + b
//   last but one           … + k mod 7
//   last                   … + y0                       (a skip edge); result 0
//
// The result is the tuple (result 0, result 1).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"
#include "splitnet/model.hpp"

namespace splitnet::testing {

struct ArithmeticOptions {
  std::size_t layers = 8;        ///< At least 6.
  std::uint64_t seed = 1;        ///< Other seeds give other parameters and another fingerprint.
  std::string name_prefix = {};  ///< Of every layer.
  bool in_place = false;         ///< chain.2 writes into its input; an order edge from branch to it.
  std::map<std::size_t, std::chrono::nanoseconds> sleep = {};  ///< By layer: how long it sleeps.
  std::vector<std::int64_t> sizes = {2, 8};                    ///< Of its example input, and so of all tensors.
  std::set<std::size_t> refused = {};  ///< A cut whose head has one of these numbers of layers is refused.
};

/// A contiguous f32 tensor of these sizes, filled with numbers that depend on `seed` and place.
inline Tensor arithmetic_input(const std::vector<std::int64_t>& sizes, std::uint64_t seed = 1) {
  Tensor tensor = Tensor::empty(DType::f32, sizes);
  auto* items = reinterpret_cast<float*>(tensor.data());
  for (std::int64_t i = 0; i < tensor.element_count(); ++i) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    items[i] = static_cast<float>(seed >> 40U) / static_cast<float>(1U << 23U) - 1.0F;
  }
  return tensor;
}

namespace arithmetic {

/// What all stages of one model know. Values: 0 is the input, 1 + i what layer i gives, and last the
/// integer k of layer 0.
struct Network {
  ArithmeticOptions options;
  LayerGraph graph;
  ResultShape result_shape;

  [[nodiscard]] std::size_t count() const { return options.layers; }
  [[nodiscard]] std::size_t integer_id() const { return options.layers + 1; }
  [[nodiscard]] float a(std::size_t layer) const {
    return 1.0F + static_cast<float>((layer * 7 + options.seed * 3) % 11) / 32.0F;
  }
  [[nodiscard]] float b(std::size_t layer) const {
    return static_cast<float>((layer * 5 + options.seed) % 13) / 8.0F - 0.75F;
  }
  /// Which value layer `layer` computes on.
  [[nodiscard]] static std::size_t source(std::size_t layer) {
    return layer == 3 ? 2 : layer;  // chain.2 goes past the branch
  }
  [[nodiscard]] std::vector<std::size_t> reads(std::size_t layer) const {
    std::vector<std::size_t> ids{source(layer)};
    if (layer == count() - 2) ids.push_back(integer_id());
    if (layer == count() - 1) ids.push_back(1);
    return ids;
  }
};

inline GraphValue tensor_value(std::ptrdiff_t producer, const std::vector<std::int64_t>& sizes) {
  GraphValue value;
  value.producer = producer;
  value.type = "Tensor";
  value.dtype = "f32";
  value.sizes = sizes;
  value.bytes = sizeof(float);
  for (const std::int64_t size : sizes) value.bytes *= size;
  return value;
}

inline std::shared_ptr<const Network> make_network(const ArithmeticOptions& options) {
  if (options.layers < 6) {
    throw Error(ErrorCode::invalid_argument, "the arithmetic model needs at least 6 layers");
  }
  auto network = std::make_shared<Network>();
  network->options = options;
  auto& graph = network->graph;
  graph.fingerprint = "a11ce000" + std::to_string(options.layers) + "00" + std::to_string(options.seed) +
                      (options.in_place ? "1" : "0");
  graph.values.push_back(tensor_value(GraphValue::from_input, options.sizes));
  for (std::size_t i = 0; i < options.layers; ++i) {
    Layer layer;
    layer.name = options.name_prefix;
    layer.name += i == 0 ? "stem" : i == 2 ? "branch" : "chain." + std::to_string(i < 2 ? i : i - 1);
    layer.module_path = layer.name;
    layer.operator_name = options.in_place && i == 3 ? "arithmetic::affine_" : "arithmetic::affine";
    layer.parameter_bytes = 2 * sizeof(float);
    layer.flops = 32;
    graph.layers.push_back(layer);
    graph.values.push_back(tensor_value(static_cast<std::ptrdiff_t>(i), options.sizes));
  }
  GraphValue integer;
  integer.producer = 0;
  integer.type = "int";
  integer.bytes = 8;
  graph.values.push_back(integer);
  for (std::size_t i = 0; i < options.layers; ++i) {
    for (const auto id : network->reads(i)) graph.values[id].consumers.push_back(i);
  }
  graph.values[3].is_output = graph.values[options.layers].is_output = true;
  if (options.in_place) graph.order_edges.push_back({2, 3});
  ResultShape::Node tuple;
  for (std::uint32_t slot = 0; slot < 2; ++slot) tuple.items.push_back({ResultShape::Slot{slot}});
  network->result_shape.tree = tuple;
  return network;
}

/// Visits the byte offset of every element, in order of the indices.
template <class Visit>
void for_each_offset(const Tensor& tensor, Visit&& visit) {
  std::vector<std::int64_t> index(tensor.sizes.size(), 0);
  for (std::int64_t left = tensor.element_count(); left > 0; --left) {
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < index.size(); ++d) offset += index[d] * tensor.strides[d];
    visit(static_cast<std::size_t>(offset) * sizeof(float));
    for (std::size_t d = index.size(); d-- > 0;) {
      if (++index[d] < tensor.sizes[d]) break;
      index[d] = 0;
    }
  }
}

inline float load(const std::byte* at) {
  float item = 0;
  std::memcpy(&item, at, sizeof(item));
  return item;
}

/// The elements in order of their indices.
inline std::vector<float> items_of(const Tensor& tensor) {
  std::vector<float> items;
  for_each_offset(tensor, [&](std::size_t at) { items.push_back(load(tensor.data() + at)); });
  return items;
}

inline void put_items(const std::vector<float>& items, const Tensor& tensor) {
  std::size_t i = 0;
  for_each_offset(tensor, [&](std::size_t at) { std::memcpy(tensor.data() + at, &items[i++], sizeof(float)); });
}

inline const Tensor& checked(const Value& value, const std::string& name) {
  const Tensor& tensor = value.tensor();
  tensor.validate();
  if (tensor.dtype == DType::f32) return tensor;
  throw Error(ErrorCode::invalid_argument, name + ": expected dtype f32, found " + describe(value));
}

class ArithmeticStage : public Stage {
 public:
  ArithmeticStage(std::shared_ptr<const Network> network, std::vector<std::size_t> layers, StageInfo info)
      : network_(std::move(network)), layers_(std::move(layers)), info_(std::move(info)) {}

  const StageInfo& info() const noexcept override { return info_; }

  std::vector<Value> run(std::vector<Value> inputs) const override {
    if (inputs.size() != info_.inputs.size()) {
      throw Error(ErrorCode::invalid_argument, "stage " + std::to_string(info_.index) + ": " +
                                                   std::to_string(inputs.size()) + " inputs, expected " +
                                                   std::to_string(info_.inputs.size()));
    }
    make_private(inputs);
    std::map<std::size_t, Value> values;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto& expected = info_.inputs[i];
      const std::string name = "input " + std::to_string(i);
      if (expected.type == "int") {
        (void)inputs[i].integer();
      } else {
        (void)checked(inputs[i], name);
      }
      values[expected.id] = std::move(inputs[i]);
    }
    for (const auto layer : layers_) run_layer(layer, values);
    std::vector<Value> outputs;
    for (const auto& output : info_.outputs) outputs.push_back(values.at(output.id));
    return outputs;
  }

  void save(const std::string& path) const override {
    throw Error(ErrorCode::unavailable, "an arithmetic stage can't be written to '" + path + "'");
  }

 private:
  [[nodiscard]] bool writes_in_place(std::size_t layer) const { return network_->options.in_place && layer == 3; }

  /// Copies the input that chain.2 writes into, unless `inputs` holds the only handles to its bytes.
  void make_private(std::vector<Value>& inputs) const {
    if (std::none_of(layers_.begin(), layers_.end(), [&](auto l) { return writes_in_place(l); })) {
      return;
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (info_.inputs[i].id != Network::source(3)) continue;
      const Tensor& tensor = checked(inputs[i], "input " + std::to_string(i));
      long handles = 0;
      for (const auto& input : inputs) {
        for_each_tensor(input, [&](const Tensor& t) {
          if (t.storage.owner() == tensor.storage.owner()) ++handles;
        });
      }
      if (tensor.storage.owner().use_count() == handles && !tensor.storage.is_foreign()) continue;
      Tensor copy = Tensor::empty(DType::f32, tensor.sizes);
      put_items(items_of(tensor), copy);
      inputs[i] = std::move(copy);
    }
  }

  void run_layer(std::size_t layer, std::map<std::size_t, Value>& values) const {
    const auto& sleep = network_->options.sleep;
    if (const auto found = sleep.find(layer); found != sleep.end()) {
      std::this_thread::sleep_for(found->second);
    }
    const Tensor source = values.at(Network::source(layer)).tensor();
    auto items = items_of(source);
    for (auto& item : items) item = item * network_->a(layer) + network_->b(layer);
    if (layer == network_->count() - 2) add_integer(items, values);
    if (layer == network_->count() - 1) add_stem(items, values);
    const Tensor result = writes_in_place(layer) ? source : Tensor::empty(DType::f32, source.sizes);
    put_items(items, result);
    if (layer == 0) values[network_->integer_id()] = result.element_count();
    values[1 + layer] = result;
  }

  void add_integer(std::vector<float>& items, const std::map<std::size_t, Value>& values) const {
    const auto integer = values.at(network_->integer_id()).integer();
    for (auto& item : items) item += static_cast<float>(integer % 7);
  }

  static void add_stem(std::vector<float>& items, const std::map<std::size_t, Value>& values) {
    const auto stem = items_of(values.at(1).tensor());
    if (stem.size() != items.size()) {
      throw Error(ErrorCode::invalid_argument,
                  "add: " + std::to_string(items.size()) + " and " + std::to_string(stem.size()) + " elements");
    }
    for (std::size_t i = 0; i < items.size(); ++i) items[i] += stem[i];
  }

  const std::shared_ptr<const Network> network_;
  const std::vector<std::size_t> layers_;
  const StageInfo info_;
};

}  // namespace arithmetic

class ArithmeticModel : public Model {
 public:
  static std::shared_ptr<const ArithmeticModel> make(const ArithmeticOptions& options = {}) {
    return std::make_shared<const ArithmeticModel>(options);
  }
  explicit ArithmeticModel(const ArithmeticOptions& options = {})
      : network_(arithmetic::make_network(options)), example_inputs_{arithmetic_input(options.sizes)} {}

  const LayerGraph& layers() const noexcept override { return network_->graph; }
  std::string framework() const override { return "arithmetic 1"; }
  const std::vector<Value>& example_inputs() const noexcept override { return example_inputs_; }
  const ResultShape& result_shape() const noexcept override { return network_->result_shape; }
  std::size_t result_slot_count() const noexcept override { return 2; }

  std::optional<Refusal> refusal(const std::vector<LayerSet>& cuts) const override {
    check_nested(cuts);
    for (const auto& cut : cuts) {
      if (network_->options.refused.count(cut.size()) == 0) continue;
      return Refusal{RefusalReason::value_cannot_travel,
                     "a head of " + std::to_string(cut.size()) + " layers is refused"};
    }
    return std::nullopt;
  }

  std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions& /*options*/ = {}) const override {
    if (key.index > key.cuts.size()) {
      throw Error(ErrorCode::invalid_argument, "stage " + std::to_string(key.index) +
                                                   " is out of range: " + std::to_string(key.cuts.size()) + " cuts");
    }
    for (const auto& cut : key.cuts) (void)layers().resolve(Cut::of(cut));
    if (const auto refused = refusal(key.cuts)) {
      throw Error(ErrorCode::unsupported_model, std::string(to_string(refused->reason)) + ": " + refused->detail);
    }
    return std::make_unique<arithmetic::ArithmeticStage>(network_, layers_of(key), describe_stage(key));
  }

  std::vector<LayerTimings> time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                        const StageOptions& /*options*/ = {}) const override {
    StageKey key;  // A stage for each layer, refused or not.
    for (LayerSet head{0}; head.size() < network_->count(); head.push_back(head.size())) key.cuts.push_back(head);
    std::vector<LayerTimings> timings(passes);
    for (auto& pass : timings) {
      auto values = inputs;
      for (key.index = 0; key.index <= key.cuts.size(); ++key.index) {
        const auto start = std::chrono::steady_clock::now();
        const arithmetic::ArithmeticStage stage(network_, layers_of(key), describe_stage(key));
        values = stage.run(std::move(values));
        values.resize(stage.info().boundary_count);
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        pass.layer_s.push_back(took.count());
        pass.peak_bytes.push_back(0);
        pass.pass_s += took.count();
      }
    }
    return timings;
  }

  /// What the uncut model gives.
  [[nodiscard]] Value run(const Tensor& input) const { return run_stages(*this, split({}), {Value(input)}); }

 private:
  static void check_nested(const std::vector<LayerSet>& cuts) {
    for (std::size_t i = 1; i < cuts.size(); ++i) {
      if (std::includes(cuts[i].begin(), cuts[i].end(), cuts[i - 1].begin(), cuts[i - 1].end())) continue;
      throw Error(ErrorCode::invalid_argument, "cut " + std::to_string(i) + " does not contain the one before it");
    }
  }

  static std::size_t stage_of(std::size_t layer, const StageKey& key) {
    std::size_t stage = 0;
    while (stage < key.cuts.size() && !std::binary_search(key.cuts[stage].begin(), key.cuts[stage].end(), layer)) {
      ++stage;
    }
    return stage;
  }

  [[nodiscard]] std::vector<std::size_t> layers_of(const StageKey& key) const {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < network_->count(); ++i) {
      if (stage_of(i, key) == key.index) chosen.push_back(i);
    }
    return chosen;
  }

  /// The values that cross the cut after `stage`, those that only pass through included.
  [[nodiscard]] std::vector<StageValue> boundary_after(std::size_t stage, const StageKey& key) const {
    std::vector<StageValue> boundary;
    const auto& values = network_->graph.values;
    for (std::size_t id = 0; id < values.size(); ++id) {
      const auto producer = values[id].producer;
      const auto made = producer == GraphValue::from_input ? 0 : stage_of(static_cast<std::size_t>(producer), key);
      const auto& consumers = values[id].consumers;
      const bool is_used =
          std::any_of(consumers.begin(), consumers.end(), [&](auto layer) { return stage_of(layer, key) > stage; });
      if (made <= stage && is_used) boundary.push_back({static_cast<std::uint32_t>(id), values[id].type});
    }
    return boundary;
  }

  [[nodiscard]] StageInfo describe_stage(const StageKey& key) const {
    StageInfo info;
    info.fingerprint = fingerprint();
    info.index = key.index;
    info.stage_count = key.cuts.size() + 1;
    info.inputs = key.index == 0 ? std::vector<StageValue>{{0, "Tensor"}} : boundary_after(key.index - 1, key);
    if (key.index < key.cuts.size()) info.outputs = boundary_after(key.index, key);
    info.boundary_count = info.outputs.size();
    const std::size_t result_layers[] = {network_->count() - 1, 2};
    for (std::uint32_t slot = 0; slot < 2; ++slot) {
      if (stage_of(result_layers[slot], key) != key.index) continue;
      info.outputs.push_back({static_cast<std::uint32_t>(1 + result_layers[slot]), "Tensor"});
      info.result_slots.push_back(slot);
    }
    info.parameter_bytes = static_cast<std::int64_t>(layers_of(key).size() * 2 * sizeof(float));
    return info;
  }

  std::shared_ptr<const arithmetic::Network> network_;
  std::vector<Value> example_inputs_;
};

}  // namespace splitnet::testing
