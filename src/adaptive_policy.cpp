// SPDX-License-Identifier: Apache-2.0
#include "splitnet/adaptive_policy.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <optional>

#include "check_number.hpp"
#include "log_filter.hpp"

namespace splitnet {
namespace {

/// How much better than likely a link is thought to be when the question is whether a probe could change anything: one
/// in forty is better still.
constexpr double hopeful = 2;
constexpr detail::LogFilter::Dynamics load_dynamics{.swing = 0.5, .memory_s = 60, .measurement = 0.1, .prior = 0.2};
constexpr std::size_t smallest_probe_bytes = 256;
/// Standard deviations after which the device begins at the latest, and passes that can be saved up for it.
constexpr double latest_hedge = 2;
constexpr double most_hedges_paid = 10;
constexpr double first_hedges_paid = 1;
/// Standard normal deviates in the middle of five equal shares.
constexpr std::array<double, 5> shares{-1.2816, -0.5244, 0, 0.5244, 1.2816};

}  // namespace

void AdaptiveOptions::validate() const {
  link.validate();
  detail::check_not_negative("AdaptiveOptions::switching_gain", switching_gain);
  detail::check_positive("AdaptiveOptions::probe_after_s", probe_after_s);
  detail::check_number(longest_probe_after_s >= probe_after_s, "AdaptiveOptions::longest_probe_after_s",
                       longest_probe_after_s, "at least probe_after_s");
  detail::check_positive("AdaptiveOptions::probe_s", probe_s);
  detail::check_not_negative("AdaptiveOptions::hedge_share", hedge_share);
  detail::check_not_negative("AdaptiveOptions::race_gain", race_gain);
}

class AdaptivePolicy::Impl {
 public:
  Impl(const PlanningProblem& problem, Objective objective, const Constraints& constraints, const IsLegal& is_legal,
       const AdaptiveOptions& options)
      : objective_(objective),
        constraints_(constraints),
        options_(options),
        layers_(problem.graph.layers.size()),
        planner_(problem, is_legal),
        first_link_(*problem.link(0, 1)),
        first_worker_load_(problem.tiers[1].load_factor),
        link_(first_link_, options.link),
        device_load_(problem.tiers[0].load_factor, load_dynamics),
        worker_load_(first_worker_load_, load_dynamics) {
    constraints.validate();
    options.validate();
    whole_s_ = planner_.computing_s(layers_).head_s;
    const auto first = best(0);
    if (!first) {
      throw Error(ErrorCode::invalid_argument, "AdaptivePolicy: no plan keeps to the constraints");
    }
    present_ = *first;
  }

  Decision decide(const Situation& situation);
  void learn(const Outcome& outcome);
  SequentialPlanner::Conditions conditions(double now_s) const {
    const std::lock_guard lock(mutex_);
    return conditions_at(now_s);
  }

 private:
  SequentialPlanner::Conditions conditions_at(double now_s) const {
    // What takes longer than the device alone is not taken anyway.
    const double device_load = device_load_.expected(now_s);
    return {link_.expected_profile(now_s, device_load * whole_s_), device_load, worker_load_.expected(now_s)};
  }
  std::optional<SequentialPlanner::Choice> choose(const SequentialPlanner::Conditions& conditions) const {
    return planner_.choose(objective_, constraints_, conditions);
  }
  std::optional<SequentialPlanner::Choice> best(double now_s) const { return choose(conditions_at(now_s)); }
  bool may_compute_twice(const Situation& situation) const {
    return situation.device_may_finish && objective_ == Objective::latency && !constraints_.max_energy_joule;
  }
  bool is_device_only(const SequentialPlanner::Choice& choice) const { return choice.head_layers == layers_; }
  bool has_been_quiet(double now_s) const { return now_s - quiet_since_s_ >= probe_after_s_; }
  void note_question(double now_s);
  std::size_t probe_bytes(double now_s);
  void ask_beside_device(Decision& decision, const Situation& situation,
                         const SequentialPlanner::Conditions& conditions);
  std::optional<SequentialPlanner::Choice> rival(double device_s, double now_s) const;
  std::optional<SequentialPlanner::Choice> worker_to_try(SequentialPlanner::Conditions conditions, double now_s);
  void note_whether_it_was_worth_it(const Outcome& outcome);
  std::optional<double> hedge_after_s(const SequentialPlanner::Choice& choice,
                                      const SequentialPlanner::Conditions& conditions, double now_s) const;

  const Objective objective_;
  const Constraints constraints_;
  const AdaptiveOptions options_;
  const std::size_t layers_;
  const SequentialPlanner planner_;  // Before what is read of the problem, which it checks.
  const LinkProfile first_link_;
  const double first_worker_load_;
  mutable std::mutex mutex_;
  LinkEstimator link_;
  detail::LogFilter device_load_;
  detail::LogFilter worker_load_;
  SequentialPlanner::Choice present_;
  double promised_ = 0;  ///< Gains that another plan promised since it first did.
  double quiet_since_s_ = 0;
  double probe_after_s_ = options_.probe_after_s;
  double whole_s_ = 0;                      ///< What the device takes for the whole model.
  double hedges_paid_ = first_hedges_paid;  ///< For so many passes of it there is time to spend.
};

Decision AdaptivePolicy::Impl::decide(const Situation& situation) {
  const std::lock_guard lock(mutex_);
  const double now_s = situation.now_s;
  auto conditions = conditions_at(now_s);
  conditions.link.rtt_s += situation.bytes_under_way / conditions.link.up_bytes_per_s;
  hedges_paid_ = std::min(most_hedges_paid, hedges_paid_ + options_.hedge_share);
  if (!situation.worker_answers) {
    const SequentialPlanner::Choice device{layers_, 0, planner_.value(layers_, 0, objective_, conditions)};
    return {device, Reason::worker_missing, device.value};
  }
  present_.value = planner_.value(present_.head_layers, present_.codec, objective_, conditions);
  const auto found = choose(conditions);
  const bool is_allowed = planner_.keeps_to(present_.head_layers, present_.codec, constraints_, conditions);
  Decision decision{present_, Reason::best, present_.value};
  if (found && (found->value < present_.value || !is_allowed)) {
    decision.best_value = found->value;
    promised_ += present_.value - found->value;
    decision.reason = Reason::not_worth_it;
    if (promised_ >= options_.switching_gain * present_.value || !is_allowed) {
      decision = {*found, Reason::switched, found->value};
      present_ = *found;
      promised_ = 0;
    }
  } else {
    promised_ = 0;
  }
  if (is_device_only(decision.choice)) {
    ask_beside_device(decision, situation, conditions);
  } else {
    if (may_compute_twice(situation)) decision.hedge_after_s = hedge_after_s(decision.choice, conditions, now_s);
  }
  return decision;
}

/// The more there is to spend, the earlier: from when half of the answers are there to when all but one in forty are.
std::optional<double> AdaptivePolicy::Impl::hedge_after_s(const SequentialPlanner::Choice& choice,
                                                          const SequentialPlanner::Conditions& conditions,
                                                          double now_s) const {
  const double head_s = planner_.computing_s(choice.head_layers).head_s;
  if (hedges_paid_ * whole_s_ < whole_s_ - head_s) return std::nullopt;
  const double answer_s = choice.value - conditions.device_load_factor * head_s;
  const double late = latest_hedge * (1 - hedges_paid_ / most_hedges_paid);
  return answer_s * std::exp(late * link_.doubt(now_s).bandwidth);
}

/// While all runs on the device: whether a worker or the link is asked something as well.
void AdaptivePolicy::Impl::ask_beside_device(Decision& decision, const Situation& situation,
                                             const SequentialPlanner::Conditions& conditions) {
  if (situation.bytes_under_way > 0) return;  // It will tell.
  const double now_s = situation.now_s;
  const bool may_both_begin = may_compute_twice(situation);
  auto asked = may_both_begin && situation.in_flight == 0 ? rival(decision.choice.value, now_s) : std::nullopt;
  auto reason = Reason::raced;
  if (!asked && has_been_quiet(now_s)) {
    decision.probe_bytes = probe_bytes(now_s);
    if (may_both_begin && decision.probe_bytes == 0) asked = worker_to_try(conditions, now_s);
    reason = Reason::worker_tried;
  }
  if (!asked) return;
  decision.choice = *asked;
  decision.reason = reason;
  decision.hedge_after_s = 0;
}

/// The plan with a worker that may be faster than the device, if asking it too is worth it.
std::optional<SequentialPlanner::Choice> AdaptivePolicy::Impl::rival(double device_s, double now_s) const {
  auto conditions = conditions_at(now_s);
  conditions.link = link_.profile(now_s);
  const double doubt = link_.doubt(now_s).bandwidth;
  const double likeliest_bytes_per_s = conditions.link.up_bytes_per_s;
  conditions.link.up_bytes_per_s = likeliest_bytes_per_s * std::exp(shares.back() * doubt);
  auto found = choose(conditions);
  if (!found || is_device_only(*found)) return std::nullopt;
  double first_s = 0;
  for (const double share : shares) {
    conditions.link.up_bytes_per_s = likeliest_bytes_per_s * std::exp(share * doubt);
    const double worker_s = planner_.value(found->head_layers, found->codec, objective_, conditions);
    first_s += std::min(device_s, worker_s) / static_cast<double>(shares.size());
  }
  if (first_s > (1 - options_.race_gain) * device_s) return std::nullopt;
  found->value = first_s;
  return found;
}

/// Whether to ask the link, and how much: only if it may have become so good that the plan would change.
std::size_t AdaptivePolicy::Impl::probe_bytes(double now_s) {
  SequentialPlanner::Conditions conditions{link_.profile(now_s), device_load_.value(now_s), worker_load_.value(now_s)};
  const LinkEstimator::Doubt doubt = link_.doubt(now_s);
  const double better = std::exp(hopeful * doubt.bandwidth);
  conditions.link.rtt_s *= std::exp(-hopeful * doubt.rtt);
  conditions.link.up_bytes_per_s *= better;
  conditions.link.down_bytes_per_s *= better;
  const auto found = choose(conditions);
  if (!found || is_device_only(*found)) return 0;
  note_question(now_s);
  return std::max(smallest_probe_bytes,
                  static_cast<std::size_t>(link_.profile(now_s).up_bytes_per_s * options_.probe_s));
}

void AdaptivePolicy::Impl::note_question(double now_s) {
  quiet_since_s_ = now_s;
  probe_after_s_ = std::min(2 * probe_after_s_, options_.longest_probe_after_s);
}

/// The plan to take if link and worker are again as they were measured first; nothing while that would change nothing.
/// What a doubt that grows slowly does not reach, and a worker's load, of which no probe tells, is found out so.
std::optional<SequentialPlanner::Choice> AdaptivePolicy::Impl::worker_to_try(SequentialPlanner::Conditions conditions,
                                                                             double now_s) {
  LinkProfile& link = conditions.link;
  link.rtt_s = std::min(link.rtt_s, first_link_.rtt_s);
  link.up_bytes_per_s = std::max(link.up_bytes_per_s, first_link_.up_bytes_per_s);
  link.down_bytes_per_s = std::max(link.down_bytes_per_s, first_link_.down_bytes_per_s);
  conditions.worker_load_factor = std::min(first_worker_load_, conditions.worker_load_factor);
  const auto found = choose(conditions);
  if (!found || is_device_only(*found)) return std::nullopt;
  note_question(now_s);
  return found;
}

/// That a worker was asked: it answered before the device would have. Then it is tried again at once until that is
/// believed.
void AdaptivePolicy::Impl::note_whether_it_was_worth_it(const Outcome& outcome) {
  const double took_s = outcome.head_s + outcome.transport_s + outcome.queue_s + outcome.tail_s;
  if (took_s >= planner_.value(layers_, 0, Objective::latency, conditions_at(outcome.ended_s))) return;
  probe_after_s_ = options_.probe_after_s;
  if (is_device_only(present_)) quiet_since_s_ = outcome.ended_s - probe_after_s_;
}

void AdaptivePolicy::Impl::learn(const Outcome& outcome) {
  const std::lock_guard lock(mutex_);
  const double at_s = outcome.ended_s;
  hedges_paid_ = std::max(0.0, hedges_paid_ - outcome.hedge_s / whole_s_);
  if (outcome.transport_s > 0) {
    const LinkEstimator::Transfer transfer{at_s, outcome.bytes_up, outcome.bytes_down, outcome.transport_s};
    outcome.is_under_way ? link_.observe_at_least(transfer) : link_.observe(transfer);
    quiet_since_s_ = at_s;
  }
  if (outcome.is_under_way) return;
  const auto computing = planner_.computing_s(outcome.head_layers);
  if (outcome.head_s > 0) device_load_.observe(at_s, outcome.head_s / computing.head_s);
  if (outcome.tail_s > 0) {
    worker_load_.observe(at_s, (outcome.tail_s + outcome.queue_s) / computing.tail_s);
    note_whether_it_was_worth_it(outcome);
  }
}

AdaptivePolicy::AdaptivePolicy(PlanningProblem problem, Objective objective, const Constraints& constraints,
                               const IsLegal& is_legal, const AdaptiveOptions& options)
    : impl_(std::make_unique<Impl>(problem, objective, constraints, is_legal, options)) {}
AdaptivePolicy::~AdaptivePolicy() = default;

Decision AdaptivePolicy::decide(const Situation& situation) {
  return impl_->decide(situation);
}
void AdaptivePolicy::learn(const Outcome& outcome) {
  impl_->learn(outcome);
}
SequentialPlanner::Conditions AdaptivePolicy::conditions(double now_s) const {
  return impl_->conditions(now_s);
}

PolicyFactory adaptive_policy(const AdaptiveOptions& options) {
  options.validate();
  return [options](const PlanningProblem& problem, const IsLegal& is_legal, Objective objective,
                   const Constraints& constraints) {
    return std::make_unique<AdaptivePolicy>(problem, objective, constraints, is_legal, options);
  };
}

}  // namespace splitnet
