// SPDX-License-Identifier: Apache-2.0
// Dynamic programming over sequential cuts and ordered tiers. A label is a way to have the first layers done and the
// rest still to come; of the labels at one place only those are kept that no other beats in every criterion that
// matters, which is one label when only the objective does. All criteria grow along the way, so a label that
// breaks a bound is dropped at once, and what is left at the end is exact.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>

#include "boundary.hpp"
#include "cost_terms.hpp"
#include "planning.hpp"
#include "splitnet/error.hpp"
#include "splitnet/planner.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

/// The last two are of the hop just made, for the stage that follows: what keeps it busy, and what it bills.
enum Criterion : std::size_t { latency, period, energy, dollars, loss, pending, received, criterion_count };
using Criteria = std::array<double, criterion_count>;

constexpr std::uint32_t no_step = std::numeric_limits<std::uint32_t>::max();

/// A stage that was chosen: `tier` up to `layers_done`, sent on with `codec`.
struct Step {
  std::uint32_t before = no_step;
  std::uint32_t tier = 0;
  std::uint32_t layers_done = 0;
  std::uint32_t codec = 0;
};

struct Label {
  Criteria found{};
  std::uint32_t step = no_step;
};

std::size_t criterion_of(Objective objective) {
  switch (objective) {
    case Objective::latency: return latency;
    case Objective::throughput: return period;
    case Objective::energy: return energy;
    case Objective::dollars: return dollars;
  }
  return latency;
}

class TierSearch {
 public:
  /// A stage that ends at the second number of layers may not follow a cut at the first.
  using Banned = std::set<std::pair<std::size_t, std::size_t>>;

  TierSearch(const PlanningProblem& problem, const std::vector<Objective>& objectives, const Constraints& constraints,
             const std::vector<bool>& legal, const Banned& banned)
      : problem_(problem),
        constraints_(constraints),
        legal_(legal),
        banned_(banned),
        layers_(problem.graph.layers.size()),
        tiers_(problem.tiers.size()),
        boundaries_(detail::sequential_boundaries(problem.graph)) {
    choose_criteria(objectives);
    add_up();
    look_up_leakages();
    starts_.resize((layers_ + 1) * tiers_);
    sends_.resize((layers_ + 1) * tiers_ * problem.codecs.size());
  }

  std::vector<Assignment> run() {
    insert(starts_[place(0, 0)], {{}, no_step});
    for (std::size_t tier = 0; tier < tiers_; ++tier) {
      for (std::size_t done = 0; done <= layers_; ++done) run_stages(done, tier);
      for (std::size_t done = constraints_.min_head_layers * (tier == 0 ? 1 : 0); done < layers_; ++done) {
        send(done, tier);
      }
    }
    std::vector<Assignment> assignments;
    for (const Label& label : ends_) assignments.push_back(assignment_of(label));
    return assignments;
  }

 private:
  void choose_criteria(const std::vector<Objective>& objectives) {
    std::array<bool, criterion_count> matters{};
    for (const Objective objective : objectives) matters[criterion_of(objective)] = true;
    const std::optional<double>* bounds[] = {&constraints_.max_latency_s, &constraints_.max_period_s,
                                             &constraints_.max_energy_joule, &constraints_.max_dollars,
                                             &constraints_.max_accuracy_loss};
    bounds_.fill(std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < std::size(bounds); ++i) {
      if (!*bounds[i]) continue;
      bounds_[i] = **bounds[i];
      matters[i] = true;
    }
    matters[pending] = matters[period];
    matters[received] = matters[dollars];  // Rounded up with what the stage takes.
    for (std::size_t i = 0; i < criterion_count; ++i) {
      if (matters[i]) active_.push_back(i);
    }
  }

  void add_up() {
    input_decode_s_ = problem_.tiers[0].load_factor * detail::input_decode_s(problem_);
    times_.resize(tiers_);
    parameters_.assign(1, 0);
    for (const Layer& layer : problem_.graph.layers) parameters_.push_back(parameters_.back() + layer.parameter_bytes);
    for (std::size_t tier = 0; tier < tiers_; ++tier) {
      times_[tier].assign(1, 0);
      for (const LayerTime& layer : problem_.tiers[tier].profile.layers) {
        times_[tier].push_back(times_[tier].back() + layer.time_s);
      }
      for (const CodecProfile& codec : problem_.codecs) {
        const auto* speed = detail::speed_of(problem_.tiers[tier], codec.name);
        const double factor = problem_.tiers[tier].load_factor;
        encode_s_per_byte_.push_back(speed == nullptr || codec.inputs_arrive ? 0 : factor / speed->encode_bytes_per_s);
      }
    }
  }

  void look_up_leakages() {
    may_send_.assign(layers_ * problem_.codecs.size(), true);
    if (!constraints_.max_leakage_psnr_db) return;
    for (std::size_t done = 0; done < layers_; ++done) {
      const LayerSet head = detail::first_layers(done);
      for (std::size_t codec = 0; codec < problem_.codecs.size(); ++codec) {
        const auto known = detail::leakage_psnr_db(problem_, head, boundaries_[done], problem_.codecs[codec].name);
        may_send_[done * problem_.codecs.size() + codec] = detail::may_leak(constraints_, known);
      }
    }
  }

  [[nodiscard]] std::size_t place(std::size_t done, std::size_t tier) const { return tier * (layers_ + 1) + done; }
  [[nodiscard]] std::size_t place(std::size_t done, std::size_t tier, std::size_t codec) const {
    return place(done, tier) * problem_.codecs.size() + codec;
  }

  [[nodiscard]] bool within_bounds(const Criteria& found) const {
    for (const std::size_t i : active_) {
      if (found[i] > bounds_[i]) return false;
    }
    return true;
  }
  [[nodiscard]] bool beats(const Criteria& a, const Criteria& b) const {
    return std::all_of(active_.begin(), active_.end(), [&](std::size_t i) { return a[i] <= b[i]; });
  }

  /// False when another label there is as good.
  bool insert(std::vector<Label>& labels, const Label& label) const {
    for (const Label& other : labels) {
      if (beats(other.found, label.found)) return false;
    }
    std::erase_if(labels, [&](const Label& other) { return beats(label.found, other.found); });
    labels.push_back(label);
    return true;
  }

  /// All stages on `tier` that begin with `begin` layers done.
  void run_stages(std::size_t begin, std::size_t tier) {
    const auto& labels = starts_[place(begin, tier)];
    if (labels.empty()) return;
    const Tier& where = problem_.tiers[tier];
    std::int64_t peak_bytes = 0;
    for (std::size_t end = begin; end <= layers_; ++end) {
      if (end > begin) peak_bytes = std::max(peak_bytes, where.profile.layers[end - 1].peak_bytes);
      const std::int64_t parameters = parameters_[end] - parameters_[begin];
      if (where.memory_bytes && parameters + peak_bytes > *where.memory_bytes) break;
      if (end < layers_ && (!legal_[end] || (tier > 0 && banned_.contains({begin, end})))) continue;
      const double time_s = times_[tier][end] - times_[tier][begin];
      const double compute = detail::compute_s(where, {time_s, parameters, peak_bytes, end > begin});
      for (const Label& label : labels) {
        if (end == layers_) {
          end_stage(label, tier, compute);
        } else {
          for (std::size_t codec = 0; codec < problem_.codecs.size(); ++codec) {
            keep_stage(label, end, tier, codec, compute);
          }
        }
      }
    }
  }

  [[nodiscard]] Criteria after_stage(const Criteria& before, std::size_t tier, double busy_s) const {
    Criteria found = before;
    found[latency] += busy_s;
    found[period] = std::max(found[period], before[pending] + busy_s);
    found[energy] += busy_s * (tier == 0 ? problem_.power.compute_watt : problem_.power.idle_watt);
    if (tier > 0) found[dollars] += detail::dollars_of(problem_.tiers[tier], before[received] + busy_s);
    found[pending] = 0;
    found[received] = 0;
    return found;
  }

  /// Of inputs that arrive encoded, unless they are sent as they came.
  [[nodiscard]] double input_decode_s(std::size_t tier) const { return tier == 0 ? input_decode_s_ : 0; }

  void end_stage(const Label& label, std::size_t tier, double compute) {
    const Label ended{after_stage(label.found, tier, input_decode_s(tier) + compute), label.step};
    if (!within_bounds(ended.found) || !insert(ends_, ended)) return;
    ends_.back().step = add_step({label.step, narrow(tier), narrow(layers_), 0});
  }

  void keep_stage(const Label& label, std::size_t end, std::size_t tier, std::size_t codec, double compute) {
    const auto& boundary = boundaries_[end];
    if (!detail::applies(problem_.codecs[codec], boundary, end, tier)) return;
    if (problem_.codecs[codec].refinement) return;  // What follows would cost more than by itself.
    if (!may_send_[end * problem_.codecs.size() + codec]) return;
    const double decode = problem_.codecs[codec].inputs_arrive ? 0 : input_decode_s(tier);
    const double encode =
        static_cast<double>(boundary.float_bytes) * encode_s_per_byte_[tier * problem_.codecs.size() + codec];
    const Label kept{after_stage(label.found, tier, decode + compute + encode), label.step};
    auto& labels = sends_[place(end, tier, codec)];
    if (!within_bounds(kept.found) || !insert(labels, kept)) return;
    labels.back().step = add_step({label.step, narrow(tier), narrow(end), narrow(codec)});
  }

  /// Hops from `tier` to every later one with `done` layers done.
  void send(std::size_t done, std::size_t tier) {
    for (std::size_t codec = 0; codec < problem_.codecs.size(); ++codec) {
      const auto& labels = sends_[place(done, tier, codec)];
      if (labels.empty()) continue;
      for (std::size_t next = tier + 1; next < tiers_; ++next) {
        const auto& link = problem_.link(tier, next);
        if (!link) continue;
        const HopCost hop = detail::hop_cost(problem_.tiers[tier], problem_.tiers[next], *link, boundaries_[done],
                                             problem_.codecs[codec]);
        for (const Label& label : labels) {
          const Label sent{after_hop(label.found, hop, tier, next, codec), label.step};
          if (within_bounds(sent.found)) insert(starts_[place(done, next)], sent);
        }
      }
    }
  }

  [[nodiscard]] Criteria after_hop(const Criteria& before, const HopCost& hop, std::size_t tier, std::size_t next,
                                   std::size_t codec) const {
    const Tier& to = problem_.tiers[next];
    const double waiting = detail::hop_latency_s(hop) - hop.encode_s - hop.up_s + detail::start_s(to);
    Criteria found = before;
    found[latency] += waiting + hop.up_s;
    found[period] = std::max({found[period], hop.up_s, hop.down_s});
    found[energy] += waiting * problem_.power.idle_watt +
                     hop.up_s * (tier == 0 ? problem_.power.transmit_watt : problem_.power.idle_watt);
    found[dollars] += hop.bytes_down * to.price.egress_dollar_per_byte;
    found[loss] += problem_.codecs[codec].accuracy_loss;
    found[pending] = hop.decode_s;
    found[received] = detail::billed_busy_s(to, hop.decode_s, hop.bytes_up);
    return found;
  }

  static std::uint32_t narrow(std::size_t number) { return static_cast<std::uint32_t>(number); }
  std::uint32_t add_step(const Step& step) {
    steps_.push_back(step);
    return narrow(steps_.size() - 1);
  }

  [[nodiscard]] Assignment assignment_of(const Label& label) const {
    Assignment assignment;
    assignment.tiers.clear();
    for (auto at = label.step; at != no_step; at = steps_[at].before) {
      const Step& step = steps_[at];
      assignment.tiers.insert(assignment.tiers.begin(), step.tier);
      if (step.layers_done == layers_) continue;
      assignment.heads.insert(assignment.heads.begin(), detail::first_layers(step.layers_done));
      assignment.codecs.insert(assignment.codecs.begin(), problem_.codecs[step.codec].name);
    }
    return assignment;
  }

  const PlanningProblem& problem_;
  const Constraints& constraints_;
  const std::vector<bool>& legal_;
  const Banned& banned_;
  const std::size_t layers_;
  const std::size_t tiers_;
  const std::vector<detail::Boundary> boundaries_;
  Criteria bounds_{};
  std::vector<std::size_t> active_;
  std::vector<std::vector<double>> times_;  // By tier: sum over the first layers.
  std::vector<std::int64_t> parameters_;    // Sum over the first layers.
  std::vector<double> encode_s_per_byte_;   // By tier and codec.
  double input_decode_s_ = 0;
  std::vector<bool> may_send_;  // By layers done and codec: as little as is allowed leaks.
  std::vector<Step> steps_;
  std::vector<std::vector<Label>> starts_;  // By place: what may begin a stage there.
  std::vector<std::vector<Label>> sends_;   // By place and codec: what may be sent from there.
  std::vector<Label> ends_;
};

std::vector<bool> legal_cuts(const PlanningProblem& problem, const IsLegal& is_legal) {
  std::vector<bool> legal(problem.graph.layers.size() + 1, true);
  for (std::size_t i = 0; is_legal && i + 1 < legal.size(); ++i) legal[i] = is_legal({detail::first_layers(i)});
  return legal;
}

/// Bans what makes these heads refused together: two that follow one another if that is enough, else the last two.
void ban(const std::vector<LayerSet>& heads, const IsLegal& is_legal, TierSearch::Banned& banned) {
  bool found = false;
  for (std::size_t i = 1; i < heads.size(); ++i) {
    if (is_legal({heads[i - 1], heads[i]})) continue;
    banned.emplace(heads[i - 1].size(), heads[i].size());
    found = true;
  }
  if (!found) banned.emplace(heads[heads.size() - 2].size(), heads.back().size());
}

/// Assignments that the model allows, each cut by itself and all together.
std::vector<Assignment> search(const PlanningProblem& problem, const std::vector<Objective>& objectives,
                               const Constraints& constraints, const IsLegal& is_legal) {
  const auto legal = legal_cuts(problem, is_legal);
  TierSearch::Banned banned;
  for (;;) {
    auto assignments = TierSearch(problem, objectives, constraints, legal, banned).run();
    const auto refused = std::find_if(assignments.begin(), assignments.end(), [&](const Assignment& assignment) {
      return is_legal && assignment.heads.size() > 1 && !is_legal(assignment.heads);
    });
    if (refused == assignments.end()) return assignments;
    ban(refused->heads, is_legal, banned);
  }
}

std::string all_constraints(const PlanningProblem& problem, const Constraints& constraints) {
  std::string names;
  const auto name = [&](bool there, const std::string& text) {
    if (there) names += (names.empty() ? "" : ", ") + text;
  };
  name(constraints.max_latency_s.has_value(), "max_latency_s");
  name(constraints.max_period_s.has_value(), "max_period_s");
  name(constraints.max_energy_joule.has_value(), "max_energy_joule");
  name(constraints.max_dollars.has_value(), "max_dollars");
  name(constraints.max_accuracy_loss.has_value(), "max_accuracy_loss");
  name(constraints.max_leakage_psnr_db.has_value(), "max_leakage_psnr_db");
  name(constraints.min_head_layers > 0, "min_head_layers");
  for (std::size_t tier = 0; tier < problem.tiers.size(); ++tier) {
    name(problem.tiers[tier].memory_bytes.has_value(), "memory_bytes of tier " + std::to_string(tier));
  }
  return names;
}

/// Which constraint, left out, would make a plan possible.
std::string why_infeasible(const PlanningProblem& problem, Objective objective, const Constraints& constraints,
                           const IsLegal& is_legal) {
  std::string alone;
  const auto try_without = [&](const std::string& name, const PlanningProblem& easier, const Constraints& looser) {
    if (!search(easier, {objective}, looser, is_legal).empty()) alone += (alone.empty() ? "" : ", or without ") + name;
  };
  const std::pair<std::optional<double> Constraints::*, const char*> bounds[] = {
      {&Constraints::max_latency_s, "max_latency_s"},
      {&Constraints::max_period_s, "max_period_s"},
      {&Constraints::max_energy_joule, "max_energy_joule"},
      {&Constraints::max_dollars, "max_dollars"},
      {&Constraints::max_accuracy_loss, "max_accuracy_loss"},
      {&Constraints::max_leakage_psnr_db, "max_leakage_psnr_db"}};
  for (const auto& [bound, name] : bounds) {
    if (!(constraints.*bound)) continue;
    Constraints looser = constraints;
    (looser.*bound).reset();
    try_without(std::string(name) + " = " + detail::short_number(*(constraints.*bound)), problem, looser);
  }
  if (constraints.min_head_layers > 0) {
    Constraints looser = constraints;
    looser.min_head_layers = 0;
    try_without("min_head_layers = " + std::to_string(constraints.min_head_layers), problem, looser);
  }
  for (std::size_t tier = 0; tier < problem.tiers.size(); ++tier) {
    if (!problem.tiers[tier].memory_bytes) continue;
    PlanningProblem easier = problem;
    easier.tiers[tier].memory_bytes.reset();
    try_without(
        "memory_bytes of tier " + std::to_string(tier) + " = " + std::to_string(*problem.tiers[tier].memory_bytes),
        easier, constraints);
  }
  if (!alone.empty()) return "no plan keeps to the constraints; there is one without " + alone;
  return "no plan keeps to the constraints, nor when any one of them is left out: " +
         all_constraints(problem, constraints);
}

}  // namespace

Plan plan_tiers(const PlanningProblem& problem, Objective objective, const Constraints& constraints,
                const IsLegal& is_legal) {
  problem.validate();
  constraints.validate();
  std::vector<Candidate> candidates;
  for (auto& assignment : search(problem, {objective}, constraints, is_legal)) {
    candidates.push_back(detail::make_candidate(problem, constraints, std::move(assignment)));
  }
  const bool is_feasible = !candidates.empty();
  Plan plan = detail::finish_plan(problem, objective, constraints, std::move(candidates), {});
  if (!is_feasible) plan.infeasible = why_infeasible(problem, objective, constraints, is_legal);
  return plan;
}

std::vector<Candidate> pareto_front(const PlanningProblem& problem, const std::vector<Objective>& objectives,
                                    const Constraints& constraints, const IsLegal& is_legal) {
  problem.validate();
  constraints.validate();
  if (objectives.empty()) throw Error(ErrorCode::invalid_argument, "pareto_front: no objectives, expected one or more");
  std::vector<Candidate> front;
  for (auto& assignment : search(problem, objectives, constraints, is_legal)) {
    front.push_back(detail::make_candidate(problem, constraints, std::move(assignment)));
  }
  std::sort(front.begin(), front.end(), [&](const Candidate& a, const Candidate& b) {
    return value_of(a.cost, objectives.front()) < value_of(b.cost, objectives.front());
  });
  return front;
}

}  // namespace splitnet
