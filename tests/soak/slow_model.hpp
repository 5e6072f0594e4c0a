// SPDX-License-Identifier: Apache-2.0
// A device that is slower than the workers, without taking their processor away: a model whose passes take several
// times as long, most of it asleep. What other processes make a pass wait for counts once.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "splitnet/model.hpp"

namespace splitnet::soak {

class SlowStage final : public Stage {
 public:
  SlowStage(std::unique_ptr<Stage> inner, int factor) : inner_(std::move(inner)), factor_(factor) {}
  const StageInfo& info() const noexcept override { return inner_->info(); }
  std::vector<Value> run(std::vector<Value> inputs) const override {
    const auto begun = std::chrono::steady_clock::now();
    auto outputs = inner_->run(std::move(inputs));
    const auto took = std::chrono::steady_clock::now() - begun;
    auto shortest = shortest_.load();
    while (took < shortest && !shortest_.compare_exchange_weak(shortest, took)) continue;
    std::this_thread::sleep_for((factor_ - 1) * std::min(took, shortest));
    return outputs;
  }
  void save(const std::string& path) const override { inner_->save(path); }

 private:
  const std::unique_ptr<Stage> inner_;
  const int factor_;
  mutable std::atomic<std::chrono::steady_clock::duration> shortest_ = std::chrono::steady_clock::duration::max();
};

class SlowModel final : public Model {
 public:
  SlowModel(std::shared_ptr<const Model> inner, int factor) : inner_(std::move(inner)), factor_(factor) {}
  const LayerGraph& layers() const noexcept override { return inner_->layers(); }
  std::string framework() const override { return inner_->framework(); }
  const ResultShape& result_shape() const noexcept override { return inner_->result_shape(); }
  std::size_t result_slot_count() const noexcept override { return inner_->result_slot_count(); }
  const std::vector<Value>& example_inputs() const noexcept override { return inner_->example_inputs(); }
  std::optional<Refusal> refusal(const std::vector<LayerSet>& cuts) const override { return inner_->refusal(cuts); }
  std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions& options) const override {
    return std::make_unique<SlowStage>(inner_->make_stage(key, options), factor_);
  }
  std::vector<LayerTimings> time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                        const StageOptions& options) const override {
    auto timings = inner_->time_layers(inputs, passes, options);
    for (LayerTimings& pass : timings) {
      pass.pass_s *= factor_;
      for (double& layer_s : pass.layer_s) layer_s *= factor_;
    }
    return timings;
  }

 private:
  const std::shared_ptr<const Model> inner_;
  const int factor_;
};

}  // namespace splitnet::soak
