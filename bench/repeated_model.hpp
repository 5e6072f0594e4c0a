// SPDX-License-Identifier: Apache-2.0
// A slower machine by real work: a model whose stages run every pass several times over.
#pragma once

#include <splitnet/core.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace splitnet::bench {

class RepeatedStage final : public Stage {
 public:
  RepeatedStage(std::unique_ptr<Stage> inner, std::size_t times) : inner_(std::move(inner)), times_(times) {}
  const StageInfo& info() const noexcept override { return inner_->info(); }
  std::vector<Value> run(std::vector<Value> inputs) const override {
    for (std::size_t i = 1; i < times_; ++i) (void)inner_->run(inputs);
    return inner_->run(std::move(inputs));
  }
  void save(const std::string& path) const override { inner_->save(path); }

 private:
  const std::unique_ptr<Stage> inner_;
  const std::size_t times_;
};

class RepeatedModel final : public Model {
 public:
  RepeatedModel(std::shared_ptr<const Model> inner, std::size_t times) : inner_(std::move(inner)), times_(times) {}
  const LayerGraph& layers() const noexcept override { return inner_->layers(); }
  std::string framework() const override { return inner_->framework(); }
  const ResultShape& result_shape() const noexcept override { return inner_->result_shape(); }
  std::size_t result_slot_count() const noexcept override { return inner_->result_slot_count(); }
  const std::vector<Value>& example_inputs() const noexcept override { return inner_->example_inputs(); }
  std::optional<Refusal> refusal(const std::vector<LayerSet>& cuts) const override { return inner_->refusal(cuts); }
  std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions& options = {}) const override {
    return std::make_unique<RepeatedStage>(inner_->make_stage(key, options), times_);
  }
  std::vector<LayerTimings> time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                        const StageOptions& options = {}) const override {
    auto timings = inner_->time_layers(inputs, passes, options);
    for (LayerTimings& pass : timings) {
      pass.pass_s *= static_cast<double>(times_);
      for (double& layer_s : pass.layer_s) layer_s *= static_cast<double>(times_);
    }
    return timings;
  }

 private:
  const std::shared_ptr<const Model> inner_;
  const std::size_t times_;
};

}  // namespace splitnet::bench
