// SPDX-License-Identifier: Apache-2.0
#include "planning.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet {

std::string_view to_string(Objective objective) noexcept {
  switch (objective) {
    case Objective::latency: return "latency";
    case Objective::throughput: return "throughput";
    case Objective::energy: return "energy";
    case Objective::dollars: return "dollars";
  }
  return "unknown";
}

double value_of(const Cost& cost, Objective objective) noexcept {
  switch (objective) {
    case Objective::latency: return cost.latency_s;
    case Objective::throughput: return cost.period_s;
    case Objective::energy: return cost.energy_joule;
    case Objective::dollars: return cost.dollars;
  }
  return cost.latency_s;
}

void Constraints::validate() const {
  const auto check = [](const std::optional<double>& bound, const char* name) {
    if (!bound || *bound >= 0) return;  // Infinity bounds nothing, and NaN compares false.
    throw Error(ErrorCode::invalid_argument,
                std::string("Constraints::") + name + " is " + std::to_string(*bound) + ", expected 0 or more");
  };
  check(max_latency_s, "max_latency_s");
  check(max_period_s, "max_period_s");
  check(max_energy_joule, "max_energy_joule");
  check(max_dollars, "max_dollars");
  check(max_accuracy_loss, "max_accuracy_loss");
  check(max_leakage_psnr_db, "max_leakage_psnr_db");
}

namespace detail {

void check_two_tiers(const PlanningProblem& problem) {
  problem.validate();
  if (problem.tiers.size() == 2 && problem.link(0, 1)) return;
  throw Error(ErrorCode::invalid_argument, "planning for two tiers: found " + std::to_string(problem.tiers.size()) +
                                               ", expected two that have a link");
}

LayerSet first_layers(std::size_t count) {
  LayerSet layers(count);
  std::iota(layers.begin(), layers.end(), std::size_t{0});
  return layers;
}

namespace {

std::string found_and_allowed(const std::string& constraint, const std::string& found, const std::string& allowed) {
  return constraint + ": found " + found + ", allowed " + allowed;
}

std::string memory_violation(const PlanningProblem& problem, const Cost& cost) {
  for (const StageCost& stage : cost.stages) {
    const Tier& tier = problem.tiers[stage.tier];
    if (!tier.memory_bytes || stage.memory_bytes <= *tier.memory_bytes) continue;
    return found_and_allowed("memory_bytes of tier " + std::to_string(stage.tier), std::to_string(stage.memory_bytes),
                             std::to_string(*tier.memory_bytes));
  }
  return {};
}

std::string leakage_violation(const PlanningProblem& problem, const Constraints& constraints,
                              const Assignment& assignment) {
  if (!constraints.max_leakage_psnr_db) return {};
  for (std::size_t hop = 0; hop < assignment.heads.size(); ++hop) {
    const LayerSet& head = assignment.heads[hop];
    const auto boundary = boundary_of(problem.graph, marks_of(head, problem.graph.layers.size()));
    const auto psnr_db = leakage_psnr_db(problem, head, boundary, assignment.codecs[hop]);
    if (may_leak(constraints, psnr_db)) continue;
    return found_and_allowed("max_leakage_psnr_db",
                             psnr_db               ? short_number(*psnr_db)
                             : boundary.has_inputs ? "an input itself"
                                                   : "no statement",
                             short_number(*constraints.max_leakage_psnr_db));
  }
  return {};
}

std::string kind_of(const std::string& violation) {
  return violation.substr(0, violation.find(':'));
}

/// Names the constraint that most candidates break first, and the one that came nearest to it.
std::string why_infeasible(const std::vector<Candidate>& candidates) {
  std::map<std::string, std::size_t> counts;
  for (const auto& candidate : candidates) ++counts[kind_of(candidate.violates)];
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const auto example = std::find_if(candidates.begin(), candidates.end(),
                                    [&](const auto& c) { return kind_of(c.violates) == most->first; });
  return "no plan keeps to the constraints; " + std::to_string(most->second) + " of " +
         std::to_string(candidates.size()) + " candidates break " + most->first + " first, the best of them with " +
         example->violates;
}

bool is_baseline(const Candidate& candidate) {
  const auto& heads = candidate.assignment.heads;
  return heads.empty() || (heads.size() == 1 && heads.front().empty());
}

}  // namespace

std::optional<double> leakage_psnr_db(const PlanningProblem& problem, const LayerSet& head, const Boundary& boundary,
                                      const std::string& codec) {
  if (boundary.has_inputs) return std::nullopt;
  const auto found = std::find_if(problem.leakages.begin(), problem.leakages.end(),
                                  [&](const auto& known) { return known.codec == codec && known.head == head; });
  return found == problem.leakages.end() ? std::nullopt : std::optional(found->psnr_db);
}

bool may_leak(const Constraints& constraints, const std::optional<double>& psnr_db) {
  return !constraints.max_leakage_psnr_db || (psnr_db && *psnr_db <= *constraints.max_leakage_psnr_db);
}

std::string violation_of(const PlanningProblem& problem, const Constraints& constraints, const Assignment& assignment,
                         const Cost& cost) {
  if (auto memory = memory_violation(problem, cost); !memory.empty()) return memory;
  const std::pair<const std::optional<double>*, std::pair<const char*, double>> bounds[] = {
      {&constraints.max_latency_s, {"max_latency_s", cost.latency_s}},
      {&constraints.max_period_s, {"max_period_s", cost.period_s}},
      {&constraints.max_energy_joule, {"max_energy_joule", cost.energy_joule}},
      {&constraints.max_dollars, {"max_dollars", cost.dollars}},
      {&constraints.max_accuracy_loss, {"max_accuracy_loss", cost.accuracy_loss}},
  };
  for (const auto& [bound, found] : bounds) {
    if (!*bound || found.second <= **bound) continue;
    return found_and_allowed(found.first, short_number(found.second), short_number(**bound));
  }
  if (!assignment.heads.empty() && assignment.heads.front().size() < constraints.min_head_layers) {
    return "min_head_layers: found " + std::to_string(assignment.heads.front().size()) + ", wanted " +
           std::to_string(constraints.min_head_layers);
  }
  return leakage_violation(problem, constraints, assignment);
}

Candidate make_candidate(const PlanningProblem& problem, const Constraints& constraints, Assignment assignment) {
  Candidate candidate;
  candidate.assignment = std::move(assignment);
  candidate.cost = cost_of(problem, candidate.assignment);
  candidate.violates = violation_of(problem, constraints, candidate.assignment, candidate.cost);
  return candidate;
}

Candidate device_only(const PlanningProblem& problem, const Constraints& constraints) {
  return make_candidate(problem, constraints, {});
}

std::optional<Candidate> worker_only(const PlanningProblem& problem, const Constraints& constraints, std::size_t tier,
                                     const CodecProfile& codec) {
  if (!problem.link(0, tier) || (codec.head && !codec.head->empty())) return std::nullopt;
  return make_candidate(problem, constraints, {{0, tier}, {{}}, {codec.name}});
}

Plan finish_plan(const PlanningProblem& problem, Objective objective, const Constraints& constraints,
                 std::vector<Candidate> candidates, const IsLegal& is_legal) {
  Plan plan;
  plan.objective = objective;
  plan.device_only = device_only(problem, constraints);
  const auto better = [&](const std::optional<Candidate>& now, const Candidate& other) {
    return !now || value_of(other.cost, objective) < value_of(now->cost, objective);
  };
  for (std::size_t tier = 1; tier < problem.tiers.size(); ++tier) {
    for (const CodecProfile& codec : problem.codecs) {
      const auto candidate = worker_only(problem, constraints, tier, codec);
      auto& baseline = codec.name == "raw" ? plan.worker_only : plan.worker_only_compressed;
      if (candidate && better(baseline, *candidate)) baseline = candidate;
    }
  }
  const auto rank = [&](const Candidate& c) {
    return std::tuple(!c.violates.empty(), value_of(c.cost, objective), c.assignment.tiers.size(), !is_baseline(c));
  };
  std::stable_sort(candidates.begin(), candidates.end(),
                   [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); });
  for (const Candidate& candidate : candidates) {
    if (!candidate.violates.empty()) break;
    if (is_legal && !candidate.assignment.heads.empty() && !is_legal(candidate.assignment.heads)) continue;
    plan.chosen = candidate;
    break;
  }
  if (!plan.chosen && !candidates.empty()) plan.infeasible = why_infeasible(candidates);
  plan.candidates = std::move(candidates);
  return plan;
}

}  // namespace detail
}  // namespace splitnet
