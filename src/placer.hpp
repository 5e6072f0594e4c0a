// SPDX-License-Identifier: Apache-2.0
// From the options of a session to plans that are ready to run. Private.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "pass_times.hpp"
#include "placement.hpp"
#include "placement_cache.hpp"
#include "remote_worker.hpp"
#include "splitnet/session.hpp"

namespace splitnet::detail {

/// Thread-safe, but for the two that begin.
class Placer {
 public:
  /// `options` and `pass_times` outlive it. `workers`: of each hop.
  Placer(std::shared_ptr<const Model> model, const SessionOptions& options, std::vector<RemoteWorkers> workers,
         PassTimes& pass_times)
      : model_(std::move(model)), options_(options), workers_(std::move(workers)), pass_times_(pass_times) {}

  /// Without an objective: these cuts.
  void place_cuts(const std::vector<Cut>& cuts);
  /// With one: measures, plans, and makes ready what the first plan says, and, for a policy, device only; others
  /// follow.
  void plan();
  void close() noexcept {
    if (cache_) cache_->close();
  }

  [[nodiscard]] const std::shared_ptr<const Placement>& first() const noexcept { return first_; }
  [[nodiscard]] const SequentialPlanner::Choice& first_choice() const noexcept { return first_choice_; }
  [[nodiscard]] const std::shared_ptr<const Placement>& device_only() const noexcept { return device_only_; }
  [[nodiscard]] SequentialPlanner::Choice device_only_choice() const { return {model_->layers().layers.size(), 0, 0}; }
  /// Null: it is being made.
  std::shared_ptr<const Placement> find(const SequentialPlanner::Choice& choice) {
    return cache_ ? cache_->find(choice) : first_;
  }
  [[nodiscard]] const std::unique_ptr<Policy>& policy() const noexcept { return policy_; }
  [[nodiscard]] const Plan* chosen_plan() const noexcept { return plan_ ? &*plan_ : nullptr; }
  [[nodiscard]] const PlanningProblem& problem() const noexcept { return problem_; }

  /// Has a worker check the fingerprint, slice the stage of the hop and keep the codec's tables.
  [[nodiscard]] Message preparation(const Placement& placement, const Hop& hop, const std::string& codec) const;

 private:
  [[nodiscard]] SequentialPlanner::Choice choice_of(const Candidate& candidate) const;
  [[nodiscard]] PlacementSpec spec_of(const SequentialPlanner::Choice& choice) const;
  std::shared_ptr<Placement> make(const PlacementSpec& spec) const;
  std::shared_ptr<const Placement> make(const SequentialPlanner::Choice& choice) const;
  std::shared_ptr<const Placement> place(const SequentialPlanner::Choice& choice) const;
  std::shared_ptr<const Placement> place_later(const SequentialPlanner::Choice& choice) const;
  void place_likely();
  void measure_rest(Placement& placement) const;
  void prepare(const Placement& placement) const;

  const std::shared_ptr<const Model> model_;
  const SessionOptions& options_;
  const std::vector<RemoteWorkers> workers_;
  PassTimes& pass_times_;
  PlanningProblem problem_;
  std::optional<SequentialPlanner> planner_;
  std::optional<Plan> plan_;
  std::unique_ptr<Policy> policy_;
  std::shared_ptr<const Placement> first_;
  SequentialPlanner::Choice first_choice_;
  std::shared_ptr<const Placement> device_only_;
  std::unique_ptr<PlacementCache> cache_;  // With a policy.
};

}  // namespace splitnet::detail
