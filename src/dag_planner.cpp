// SPDX-License-Identifier: Apache-2.0
// Two tiers, any closed set of layers. Every criterion but billing and peak memory is additive, so one minimum cut
// per codec finds the best head without constraints. With them the problem is NP-hard: small graphs are searched
// whole; for larger ones Lagrangian relaxation moves the constraints into the costs, with multipliers that a
// subgradient method (Held, Wolfe and Crowder 1974) improves. Each multiplier gives a lower bound for all plans, which
// certifies how far the best head found can be from the best there is. A bound on leakage leaves few heads: those that
// were measured.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <utility>

#include "boundary.hpp"
#include "cost_terms.hpp"
#include "min_cut.hpp"
#include "planning.hpp"
#include "splitnet/planner.hpp"

namespace splitnet {
namespace {

using detail::AdditiveCosts;
using Marks = std::vector<bool>;

/// What one codec makes of a problem: each criterion as costs that add up. Dollars and memory are bounds from
/// below: without rounding up, and without the tensors of a pass.
struct Terms {
  AdditiveCosts latency, energy, dollars;
  AdditiveCosts device_busy, worker_busy, up, down;
  AdditiveCosts device_memory, worker_memory;

  /// What may be busy at the same time.
  [[nodiscard]] std::array<const AdditiveCosts*, 4> busy() const { return {&device_busy, &worker_busy, &up, &down}; }
};

class DagTerms {
 public:
  DagTerms(const PlanningProblem& problem, const CodecProfile& codec)
      : graph_(problem.graph), device_(problem.tiers[0]), worker_(problem.tiers[1]), link_(*problem.link(0, 1)) {
    auto zeros = AdditiveCosts::zeros(graph_);
    terms_ = {zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros, zeros};
    add_layers(problem);
    add_values(codec);
    combine(problem.power);
  }
  [[nodiscard]] Terms take() { return std::move(terms_); }

 private:
  void add_layers(const PlanningProblem& problem) {
    for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
      terms_.device_busy.head[i] = device_.load_factor * device_.profile.layers[i].time_s;
      terms_.worker_busy.tail[i] = worker_.load_factor * worker_.profile.layers[i].time_s;
      const auto parameters = static_cast<double>(graph_.layers[i].parameter_bytes);
      terms_.device_memory.head[i] = parameters;
      terms_.worker_memory.tail[i] = parameters;
    }
    const double input_decode = device_.load_factor * detail::input_decode_s(problem);
    terms_.device_busy.head.front() += input_decode;  // Whichever side the first layer is on.
    terms_.device_busy.tail.front() += input_decode;
    terms_.device_busy.any_head = device_.load_factor * device_.profile.stage_overhead_s;
    terms_.worker_busy.any_tail = worker_.load_factor * worker_.profile.stage_overhead_s;
  }

  void add_values(const CodecProfile& codec) {
    const auto* encoder = detail::speed_of(device_, codec.name);
    const auto* decoder = detail::speed_of(worker_, codec.name);
    for (std::size_t i = 0; i < graph_.values.size(); ++i) {
      const GraphValue& value = graph_.values[i];
      const auto bytes = static_cast<double>(value.bytes);
      const bool coded = value.dtype == "f32";
      const double up_bytes = bytes * (coded ? codec.ratio : 1);
      terms_.up.value[i] = up_bytes / link_.up_bytes_per_s;
      terms_.dollars.value[i] = up_bytes * worker_.price.billed_s_per_byte * detail::second_dollar(worker_.price);
      if (coded && encoder != nullptr) {
        terms_.device_busy.value[i] = device_.load_factor * bytes / encoder->encode_bytes_per_s;
      }
      if (coded && decoder != nullptr) {
        terms_.worker_busy.value[i] = worker_.load_factor * bytes / decoder->decode_bytes_per_s;
      }
      if (!value.is_output || value.producer == GraphValue::from_input) continue;
      const auto producer = static_cast<std::size_t>(value.producer);
      terms_.down.tail[producer] += bytes / link_.down_bytes_per_s;
      terms_.dollars.tail[producer] += bytes * worker_.price.egress_dollar_per_byte;
    }
  }

  void combine(const DevicePower& power) {
    AdditiveCosts waiting = terms_.worker_busy;
    waiting.add(terms_.down, 1);
    waiting.any_tail += link_.overhead_s + link_.rtt_s + detail::start_s(worker_);
    for (const auto* part : {&terms_.device_busy, &terms_.up, &waiting}) terms_.latency.add(*part, 1);
    terms_.energy.add(terms_.device_busy, power.compute_watt);
    terms_.energy.add(terms_.up, power.transmit_watt);
    terms_.energy.add(waiting, power.idle_watt);
    const Price& price = worker_.price;
    const double billed_s =
        price.billed_overhead_s + worker_.cold_start_probability * detail::cold_start_billed_s(worker_);
    terms_.dollars.add(terms_.worker_busy, detail::second_dollar(price));
    terms_.dollars.any_tail += price.request_dollar + billed_s * detail::second_dollar(price);
  }

  const LayerGraph& graph_;
  const Tier& device_;
  const Tier& worker_;
  const LinkProfile& link_;
  Terms terms_;
};

/// Costs that must not exceed a bound, both divided by the bound so that they compare.
struct Limit {
  AdditiveCosts costs;
  double bound = 1;
};

class DagSearch {
 public:
  DagSearch(const PlanningProblem& problem, Objective objective, const Constraints& constraints, bool may_be_refused,
            const DagOptions& options)
      : problem_(problem),
        objective_(objective),
        constraints_(constraints),
        may_be_refused_(may_be_refused),
        options_(options),
        cut_(problem.graph) {}

  /// Fills candidates and bound.
  void run() {
    consider(Marks(layers(), true), problem_.codecs.front());
    for (const CodecProfile& codec : problem_.codecs) {
      if (codec.only_inputs || codec.head) {  // One cut at most.
        if (consider(detail::marks_of(codec.head.value_or(LayerSet{}), layers()), codec)) {
          bound_ = std::min(bound_, value_of(candidates_.back().cost, objective_));
        }
        continue;
      }
      consider(Marks(layers(), false), codec);
      if (constraints_.max_leakage_psnr_db) {
        consider_measured(codec);
      } else if (is_complete()) {
        enumerate(codec);
      } else {
        relax(codec);
      }
    }
  }

  [[nodiscard]] std::vector<Candidate> take_candidates() { return std::move(candidates_); }
  /// No plan is better than this.
  [[nodiscard]] double bound() const { return bound_; }
  /// All closed sets were looked at that may be allowed.
  [[nodiscard]] bool is_complete() const {
    return constraints_.max_leakage_psnr_db || (layers() <= options_.exact_layers && !is_additive());
  }

 private:
  [[nodiscard]] std::size_t layers() const { return problem_.graph.layers.size(); }
  [[nodiscard]] bool has_memory_limit() const {
    return problem_.tiers[0].memory_bytes || problem_.tiers[1].memory_bytes;
  }
  [[nodiscard]] bool is_additive() const {
    const bool sums = objective_ == Objective::latency || objective_ == Objective::energy;
    return sums && constraints_ == Constraints{} && !has_memory_limit();
  }

  /// Whether it is a new candidate.
  bool consider(const Marks& in_head, const CodecProfile& codec) {
    if (!seen_.emplace(in_head, codec.name).second) return false;
    Assignment assignment;
    if (!std::all_of(in_head.begin(), in_head.end(), [](bool in) { return in; })) {
      LayerSet head;
      for (std::size_t i = 0; i < in_head.size(); ++i) {
        if (in_head[i]) head.push_back(i);
      }
      assignment = {{0, 1}, {std::move(head)}, {codec.name}};
      if (!detail::applies(codec, detail::boundary_of(problem_.graph, in_head), assignment.heads.front())) return false;
    }
    candidates_.push_back(detail::make_candidate(problem_, constraints_, std::move(assignment)));
    return true;
  }

  /// Something to fall back on when a constraint or the model refuses what the relaxation finds.
  void consider_sequential(const CodecProfile& codec) {
    Marks in_head(layers(), false);
    for (std::size_t i = 0; i + 1 < layers(); ++i) {
      in_head[i] = true;
      consider(in_head, codec);
    }
  }

  /// A bound on leakage allows no other heads.
  void consider_measured(const CodecProfile& codec) {
    for (const LeakageProfile& leakage : problem_.leakages) {
      if (leakage.codec == codec.name) consider(detail::marks_of(leakage.head, layers()), codec);
    }
  }

  void enumerate(const CodecProfile& codec) {
    const std::size_t n = layers();
    std::vector<std::uint32_t> needs(n, 0);
    for (std::size_t i = 0; i < n; ++i) {
      for (const std::size_t before : problem_.graph.predecessors(i)) needs[i] |= std::uint32_t{1} << before;
    }
    for (std::uint32_t set = 0; set < (std::uint32_t{1} << n); ++set) {
      bool closed = true;
      for (std::size_t i = 0; i < n && closed; ++i) closed = ((set >> i) & 1U) == 0 || (needs[i] & ~set) == 0;
      if (!closed) continue;
      Marks in_head(n);
      for (std::size_t i = 0; i < n; ++i) in_head[i] = ((set >> i) & 1U) != 0;
      consider(in_head, codec);
    }
  }

  [[nodiscard]] std::vector<Limit> limits_of(const Terms& terms) const {
    std::vector<Limit> limits;
    const auto limit = [&](const AdditiveCosts& costs, const std::optional<double>& bound) {
      if (bound && std::isfinite(*bound)) limits.push_back(normalized(costs, *bound));
    };
    const auto as_double = [](const std::optional<std::int64_t>& bytes) {
      return bytes ? std::optional<double>(static_cast<double>(*bytes)) : std::nullopt;
    };
    limit(terms.latency, constraints_.max_latency_s);
    limit(terms.energy, constraints_.max_energy_joule);
    limit(terms.dollars, constraints_.max_dollars);
    for (const auto* busy : terms.busy()) limit(*busy, constraints_.max_period_s);
    limit(terms.device_memory, as_double(problem_.tiers[0].memory_bytes));
    limit(terms.worker_memory, as_double(problem_.tiers[1].memory_bytes));
    if (constraints_.min_head_layers > 0) {  // At most n − min layers in the tail.
      AdditiveCosts tail = AdditiveCosts::zeros(problem_.graph);
      tail.tail.assign(layers(), 1);
      limits.push_back(
          normalized(tail, static_cast<double>(layers()) - static_cast<double>(constraints_.min_head_layers)));
    }
    return limits;
  }

  [[nodiscard]] Limit normalized(const AdditiveCosts& costs, double bound) const {
    const double unit = bound > 0 ? bound : 1;
    Limit limit{AdditiveCosts::zeros(problem_.graph), bound / unit};
    limit.costs.add(costs, 1 / unit);
    return limit;
  }

  /// The objective as costs that add up: for throughput, a mean of the four busy times, none of which exceeds their
  /// maximum.
  [[nodiscard]] AdditiveCosts objective_costs(const Terms& terms, const std::vector<double>& shares) const {
    switch (objective_) {
      case Objective::latency: return terms.latency;
      case Objective::energy: return terms.energy;
      case Objective::dollars: return terms.dollars;
      case Objective::throughput: break;
    }
    AdditiveCosts mean = AdditiveCosts::zeros(problem_.graph);
    for (std::size_t i = 0; i < shares.size(); ++i) mean.add(*terms.busy()[i], shares[i]);
    return mean;
  }

  void relax(const CodecProfile& codec) {
    if (constraints_.max_accuracy_loss && codec.accuracy_loss > *constraints_.max_accuracy_loss) return;
    if (may_be_refused_ || !is_additive()) consider_sequential(codec);
    const Terms terms = DagTerms(problem_, codec).take();
    const auto limits = limits_of(terms);
    std::vector<double> multipliers(limits.size(), 0);
    std::vector<double> shares(4, 0.25);
    double best_bound = 0;
    const std::size_t steps = is_additive() ? 1 : options_.relaxation_steps;
    for (std::size_t step = 0; step < steps; ++step) {
      AdditiveCosts costs = objective_costs(terms, shares);
      double offset = 0;
      for (std::size_t i = 0; i < limits.size(); ++i) {
        costs.add(limits[i].costs, multipliers[i]);
        offset += multipliers[i] * limits[i].bound;
      }
      const Marks head = cut_.solve(costs);
      consider(head, codec);
      best_bound = std::max(best_bound, costs.of(problem_.graph, head) - offset);
      improve(terms, limits, head, step, multipliers, shares);
    }
    bound_ = std::min(bound_, best_bound);
  }

  /// A step along the subgradient: what is over its bound gets dearer.
  void improve(const Terms& terms, const std::vector<Limit>& limits, const Marks& head, std::size_t step,
               std::vector<double>& multipliers, std::vector<double>& shares) const {
    const double scale = value_of(candidates_.front().cost, objective_);
    const double length = scale / (1 + static_cast<double>(step));
    for (std::size_t i = 0; i < limits.size(); ++i) {
      const double over = limits[i].costs.of(problem_.graph, head) - limits[i].bound;
      multipliers[i] = std::max(0.0, multipliers[i] + length * over);
    }
    if (objective_ != Objective::throughput) return;
    std::vector<double> found;
    for (const auto* costs : terms.busy()) found.push_back(costs->of(problem_.graph, head));
    const double largest = *std::max_element(found.begin(), found.end());
    double sum = 0;
    const double rate = 2 / std::sqrt(1 + static_cast<double>(step));
    for (std::size_t i = 0; i < shares.size(); ++i) {
      shares[i] *= std::exp(largest > 0 ? rate * found[i] / largest : 0);
      sum += shares[i];
    }
    for (double& share : shares) share /= sum;
  }

  const PlanningProblem& problem_;
  const Objective objective_;
  const Constraints& constraints_;
  const bool may_be_refused_;
  const DagOptions& options_;
  detail::MinCut cut_;
  std::set<std::pair<Marks, std::string>> seen_;
  std::vector<Candidate> candidates_;
  double bound_ = std::numeric_limits<double>::infinity();
};

}  // namespace

Plan plan_dag(const PlanningProblem& problem, Objective objective, const Constraints& constraints,
              const IsLegal& is_legal, const DagOptions& options) {
  detail::check_two_tiers(problem);
  constraints.validate();
  DagSearch search(problem, objective, constraints, static_cast<bool>(is_legal), options);
  search.run();
  Plan plan = detail::finish_plan(problem, objective, constraints, search.take_candidates(), is_legal);
  if (plan.chosen && !search.is_complete()) {
    const double found = value_of(plan.chosen->cost, objective);
    if (found > 0) plan.gap = std::max(0.0, (found - search.bound()) / found);
    if (plan.gap < 1e-9) plan.gap = 0;  // The cut's rounding.
  }
  return plan;
}

}  // namespace splitnet
