// SPDX-License-Identifier: Apache-2.0
// A chain of linear maps that can be differentiated; it gives only heads. For tests.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"
#include "splitnet/model.hpp"

namespace splitnet::testing {

/// A layer: y = A·x, with the elements of A that are not 0.
struct LinearMap {
  struct Element {
    std::size_t row = 0;
    std::size_t column = 0;
    float weight = 0;
  };
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::vector<Element> elements = {};
  bool rounds = false;  ///< y is rounded to whole numbers, which has no gradient.
};

inline LinearMap scaling(std::size_t count, float factor) {
  LinearMap map{count, count};
  for (std::size_t i = 0; i < count; ++i) map.elements.push_back({i, i, factor});
  return map;
}

/// Means of blocks of 2 × 2 in a picture of side × side.
inline LinearMap pooling(std::size_t side) {
  LinearMap map{side * side / 4, side * side};
  for (std::size_t y = 0; y < side; ++y) {
    for (std::size_t x = 0; x < side; ++x) map.elements.push_back({y / 2 * (side / 2) + x / 2, y * side + x, 0.25F});
  }
  return map;
}

inline LinearMap mean_of(std::size_t count) {
  LinearMap map{1, count};
  for (std::size_t i = 0; i < count; ++i) map.elements.push_back({0, i, 1 / static_cast<float>(count)});
  return map;
}

struct LinearOptions {
  std::vector<LinearMap> layers;
  std::vector<std::int64_t> input_sizes;
  bool can_be_differentiated = true;
  bool last_reads_input = false;  ///< So that the input crosses every cut.
};

class LinearPass : public DifferentiablePass {
 public:
  LinearPass(std::span<const LinearMap> layers, std::vector<Value> inputs, std::vector<Value> outputs)
      : layers_(layers), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
  const std::vector<Value>& outputs() const noexcept override { return outputs_; }
  std::vector<Value> gradients(const std::vector<Value>& weights) const override {
    const Tensor& last = weights.back().tensor();
    const auto* from = reinterpret_cast<const float*>(last.data());
    std::vector<float> gradient(from, from + last.element_count());
    for (std::size_t layer = layers_.size(); layer-- > 0;) {
      const LinearMap& map = layers_[layer];
      std::vector<float> before(map.columns, 0);
      for (const auto& [row, column, weight] : map.elements) {
        if (!map.rounds) before[column] += weight * gradient[row];
      }
      gradient = std::move(before);
    }
    Tensor result = Tensor::empty(DType::f32, inputs_.front().tensor().sizes);
    std::copy(gradient.begin(), gradient.end(), reinterpret_cast<float*>(result.data()));
    return {result};
  }

 private:
  const std::span<const LinearMap> layers_;
  const std::vector<Value> inputs_;
  const std::vector<Value> outputs_;
};

class LinearHead : public Stage {
 public:
  LinearHead(std::shared_ptr<const LinearOptions> options, std::size_t layers)
      : options_(std::move(options)), layers_(layers) {
    info_.inputs = {{0, "Tensor"}};
    if (options_->last_reads_input && layers_ > 0) info_.outputs.push_back({0, "Tensor"});
    info_.outputs.push_back({static_cast<std::uint32_t>(layers_), "Tensor"});
    info_.boundary_count = info_.outputs.size();
    info_.stage_count = 2;
  }
  const StageInfo& info() const noexcept override { return info_; }

  std::vector<Value> run(std::vector<Value> inputs) const override {
    std::vector<Value> outputs;
    if (info_.boundary_count == 2) outputs.push_back(inputs.front());
    outputs.push_back(layers_ == 0 ? inputs.front() : computed(inputs.front().tensor()));
    return outputs;
  }
  std::unique_ptr<DifferentiablePass> differentiate(std::vector<Value> inputs) const override {
    if (!options_->can_be_differentiated) return Stage::differentiate(std::move(inputs));
    auto outputs = run(inputs);
    return std::make_unique<LinearPass>(std::span(options_->layers).first(layers_), std::move(inputs),
                                        std::move(outputs));
  }
  void save(const std::string& path) const override {
    throw Error(ErrorCode::unavailable, "a linear stage can't be written to '" + path + "'");
  }

 private:
  Tensor computed(const Tensor& input) const {
    std::vector<float> items;
    for (std::int64_t i = 0; i < input.element_count(); ++i) {
      items.push_back(input.dtype == DType::f32
                          ? reinterpret_cast<const float*>(input.data())[i]
                          : static_cast<float>(reinterpret_cast<const std::int64_t*>(input.data())[i]));
    }
    for (std::size_t layer = 0; layer < layers_; ++layer) {
      const LinearMap& map = options_->layers[layer];
      std::vector<float> next(map.rows, 0);
      for (const auto& [row, column, weight] : map.elements) next[row] += weight * items[column];
      if (map.rounds) std::ranges::for_each(next, [](float& item) { item = std::round(item); });
      items = std::move(next);
    }
    Tensor result = Tensor::empty(DType::f32, {1, static_cast<std::int64_t>(items.size())});
    std::copy(items.begin(), items.end(), reinterpret_cast<float*>(result.data()));
    return result;
  }

  const std::shared_ptr<const LinearOptions> options_;
  const std::size_t layers_;
  StageInfo info_;
};

class LinearModel : public Model {
 public:
  explicit LinearModel(LinearOptions options) : options_(std::make_shared<LinearOptions>(std::move(options))) {
    graph_.fingerprint = "11ea";
    const std::size_t count = options_->layers.size();
    for (std::size_t i = 0; i <= count; ++i) {
      GraphValue value;
      value.producer = static_cast<std::ptrdiff_t>(i) - 1;
      value.type = "Tensor";
      value.dtype = "f32";
      value.is_output = i == count;
      if (i < count) value.consumers = {i};
      graph_.values.push_back(value);
      if (i == count) break;
      Layer layer;
      layer.name = layer.module_path = "map." + std::to_string(i);
      layer.flops = static_cast<std::int64_t>(2 * options_->layers[i].elements.size());
      graph_.layers.push_back(layer);
    }
    if (options_->last_reads_input && count > 1) graph_.values.front().consumers.push_back(count - 1);
  }
  const LayerGraph& layers() const noexcept override { return graph_; }
  std::string framework() const override { return "linear 1"; }
  const std::vector<Value>& example_inputs() const noexcept override { return no_values_; }
  const ResultShape& result_shape() const noexcept override { return shape_; }
  std::size_t result_slot_count() const noexcept override { return 1; }
  std::optional<Refusal> refusal(const std::vector<LayerSet>& /*cuts*/) const override { return std::nullopt; }
  std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions& /*options*/) const override {
    if (key.index == 0 && key.cuts.size() == 1) return std::make_unique<LinearHead>(options_, key.cuts[0].size());
    throw Error(ErrorCode::invalid_argument, "a linear model gives only heads");
  }
  std::vector<LayerTimings> time_layers(const std::vector<Value>& /*inputs*/, std::size_t /*passes*/,
                                        const StageOptions& /*options*/) const override {
    return {};
  }

 private:
  const std::shared_ptr<const LinearOptions> options_;
  LayerGraph graph_;
  std::vector<Value> no_values_;
  ResultShape shape_;
};

}  // namespace splitnet::testing
