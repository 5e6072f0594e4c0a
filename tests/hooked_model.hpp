// SPDX-License-Identifier: Apache-2.0
// A model around another one that tells, delays or fails what is done with it. For tests.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"
#include "splitnet/model.hpp"

namespace splitnet::testing {

struct Hooks {
  std::function<void(const StageKey&)> on_make = [](const StageKey&) {};
  std::function<void(const StageInfo&)> on_run = [](const StageInfo&) {};  ///< Before the pass.
  std::function<std::optional<Refusal>(const std::vector<LayerSet>&)> refuse = {};
  std::string fingerprint = {};  ///< When not empty: instead of the inner model's.
  bool has_examples = true;      ///< False: as if it had been made without example inputs.
};

class HookedStage : public Stage {
 public:
  HookedStage(std::unique_ptr<Stage> inner, std::shared_ptr<const Hooks> hooks)
      : inner_(std::move(inner)), hooks_(std::move(hooks)) {}
  const StageInfo& info() const noexcept override { return inner_->info(); }
  std::vector<Value> run(std::vector<Value> inputs) const override {
    hooks_->on_run(info());
    return inner_->run(std::move(inputs));
  }
  void save(const std::string& path) const override { inner_->save(path); }

 private:
  const std::unique_ptr<Stage> inner_;
  const std::shared_ptr<const Hooks> hooks_;
};

class HookedModel : public Model {
 public:
  HookedModel(std::shared_ptr<const Model> inner, Hooks hooks)
      : inner_(std::move(inner)), hooks_(std::make_shared<Hooks>(std::move(hooks))), graph_(inner_->layers()) {
    if (!hooks_->fingerprint.empty()) graph_.fingerprint = hooks_->fingerprint;
  }
  const LayerGraph& layers() const noexcept override { return graph_; }
  std::string framework() const override { return inner_->framework(); }
  const std::vector<Value>& example_inputs() const noexcept override {
    static const std::vector<Value> none;
    return hooks_->has_examples ? inner_->example_inputs() : none;
  }
  const ResultShape& result_shape() const noexcept override { return inner_->result_shape(); }
  std::size_t result_slot_count() const noexcept override { return inner_->result_slot_count(); }
  std::optional<Refusal> refusal(const std::vector<LayerSet>& cuts) const override {
    return hooks_->refuse ? hooks_->refuse(cuts) : inner_->refusal(cuts);
  }
  std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions& options) const override {
    hooks_->on_make(key);
    if (const auto refused = refusal(key.cuts)) throw Error(ErrorCode::unsupported_model, refused->detail);
    return std::make_unique<HookedStage>(inner_->make_stage(key, options), hooks_);
  }
  std::vector<LayerTimings> time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                        const StageOptions& options) const override {
    return inner_->time_layers(inputs, passes, options);
  }

 private:
  const std::shared_ptr<const Model> inner_;
  const std::shared_ptr<const Hooks> hooks_;
  LayerGraph graph_;
};

/// Holds everybody who passes until it is opened.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  /// Returns when `count` have arrived.
  void wait_for(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int arrived_ = 0;
};

}  // namespace splitnet::testing
