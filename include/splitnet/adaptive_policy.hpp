// SPDX-License-Identifier: Apache-2.0
/// \file
/// A policy that follows link and load.
#pragma once

#include <memory>

#include "splitnet/link_estimator.hpp"
#include "splitnet/policy.hpp"

namespace splitnet {

/// How eagerly a policy follows, and what it may spend on that.
struct AdaptiveOptions {
  LinkDynamics link = {};
  /// Another plan is taken once the gains that it promised, one inference after the other, add up to this share of
  /// what the present plan takes. 0: at once.
  double switching_gain = 0.1;
  /// Seconds without traffic after which a probe goes out, if what it may tell could change the plan; else an inference
  /// that the device computes all the same, if the plan would be another one with link and worker as they were first.
  /// Doubles while these change nothing, up to the longest.
  double probe_after_s = 1;
  double longest_probe_after_s = 30;
  /// A probe has as many bytes as the likeliest link carries in so many seconds.
  double probe_s = 0.05;
  /// What the device may compute beside workers that are late, as a share of what the whole model would take it, over
  /// all inferences. 0: never.
  double hedge_share = 0.08;
  /// Where device only is best, a worker is asked beside it if that is expected to save this share of the latency. It
  /// costs bytes and the worker's time, and the device nothing. 1: never.
  double race_gain = 0.02;

  /// Throws invalid_argument naming the field.
  void validate() const;
  friend bool operator==(const AdaptiveOptions&, const AdaptiveOptions&) = default;
};

/// Takes what SequentialPlanner::choose finds best under the conditions that it estimates: the link by LinkEstimator,
/// the load of device and worker, at first Tier::load_factor, by a Kalman filter of the logarithm of what stages took
/// over what was predicted. Conditions are means, so that doubt counts against the link; what is still under way goes
/// before the next request. With the objective latency the device begins beside a worker (Decision::hedge_after_s) when
/// an answer is later than all but a share of the answers are expected to be, that share being what hedge_share pays
/// for; and where the device is as likely to be first, and idle, both begin at once (Reason::raced).
class AdaptivePolicy : public Policy {
 public:
  /// Throws invalid_argument and incompatible as SequentialPlanner; invalid_argument: options, no plan that keeps to
  /// the constraints.
  AdaptivePolicy(PlanningProblem problem, Objective objective, const Constraints& constraints = {},
                 const IsLegal& is_legal = {}, const AdaptiveOptions& options = {});
  ~AdaptivePolicy() override;

  [[nodiscard]] Decision decide(const Situation& situation) override;
  void learn(const Outcome& outcome) override;

  /// What it believes at this time.
  [[nodiscard]] SequentialPlanner::Conditions conditions(double now_s) const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

/// For SessionOptions::policy. Throws invalid_argument as AdaptiveOptions::validate.
PolicyFactory adaptive_policy(const AdaptiveOptions& options = {});

}  // namespace splitnet
