// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "boundary.hpp"
#include "check_number.hpp"
#include "cost_terms.hpp"
#include "planning.hpp"
#include "splitnet/planner.hpp"

namespace splitnet {

struct SequentialPlanner::Row {
  detail::StageWork head;
  detail::StageWork tail;
  detail::Boundary boundary;
  bool legal = true;
  bool fits = true;  ///< Into the memory of both tiers.
};

/// The criteria of one candidate, as CostSum finds them, without taking memory.
struct SequentialPlanner::Criteria {
  double latency_s = 0;
  double period_s = 0;
  double energy_joule = 0;
  double dollars = 0;
  double accuracy_loss = 0;

  [[nodiscard]] double of(Objective objective) const {
    switch (objective) {
      case Objective::latency: return latency_s;
      case Objective::throughput: return period_s;
      case Objective::energy: return energy_joule;
      case Objective::dollars: return dollars;
    }
    return latency_s;
  }
  [[nodiscard]] bool keeps_to(const Constraints& constraints) const {
    const auto within = [](const std::optional<double>& bound, double found) { return !bound || found <= *bound; };
    return within(constraints.max_latency_s, latency_s) && within(constraints.max_period_s, period_s) &&
           within(constraints.max_energy_joule, energy_joule) && within(constraints.max_dollars, dollars) &&
           within(constraints.max_accuracy_loss, accuracy_loss);
  }
};

namespace {

const std::string refused = "legality: this cut is refused";

bool fits(const Tier& tier, const detail::StageWork& work) {
  return !tier.memory_bytes || work.memory_bytes() <= *tier.memory_bytes;
}

}  // namespace

SequentialPlanner::SequentialPlanner(PlanningProblem problem, const IsLegal& is_legal) : problem_(std::move(problem)) {
  detail::check_two_tiers(problem_);
  const std::size_t layers = problem_.graph.layers.size();
  const auto boundaries = detail::sequential_boundaries(problem_.graph);
  rows_.resize(layers + 1);
  for (std::size_t i = 0; i <= layers; ++i) rows_[i].boundary = boundaries[i];
  for (std::size_t i = 0; i < layers; ++i) {
    rows_[i + 1].head = rows_[i].head;
    rows_[i + 1].head.add(problem_.tiers[0].profile.layers[i], problem_.graph.layers[i].parameter_bytes);
  }
  for (std::size_t i = layers; i-- > 0;) {
    rows_[i].tail = rows_[i + 1].tail;
    rows_[i].tail.add(problem_.tiers[1].profile.layers[i], problem_.graph.layers[i].parameter_bytes);
  }
  for (std::size_t i = 0; i <= layers; ++i) {
    rows_[i].fits = fits(problem_.tiers[0], rows_[i].head) && fits(problem_.tiers[1], rows_[i].tail);
    rows_[i].legal = i == layers || !is_legal || is_legal({detail::first_layers(i)});
  }
  input_decode_s_ = detail::input_decode_s(problem_);
  for (std::size_t i = 0; i < layers; ++i) {
    const LayerSet head = detail::first_layers(i);
    for (const CodecProfile& codec : problem_.codecs) {
      leakages_db_.push_back(detail::leakage_psnr_db(problem_, head, rows_[i].boundary, codec.name));
    }
  }
  for (const CodecProfile& codec : problem_.codecs) {
    const auto* device = detail::speed_of(problem_.tiers[0], codec.name);
    const auto* worker = detail::speed_of(problem_.tiers[1], codec.name);
    coders_.push_back({device == nullptr || codec.inputs_arrive ? 0 : 1 / device->encode_bytes_per_s,
                       worker == nullptr ? 0 : 1 / worker->decode_bytes_per_s});
  }
}

SequentialPlanner::~SequentialPlanner() = default;
SequentialPlanner::SequentialPlanner(SequentialPlanner&&) noexcept = default;

void SequentialPlanner::check(const Conditions& conditions) {
  conditions.link.validate();
  detail::check_positive("device_load_factor", conditions.device_load_factor);
  detail::check_positive("worker_load_factor", conditions.worker_load_factor);
}

void SequentialPlanner::check_plan(std::size_t head_layers, std::size_t codec) const {
  if (head_layers < rows_.size() && codec < problem_.codecs.size()) return;
  throw Error(ErrorCode::invalid_argument, "SequentialPlanner: no plan with " + std::to_string(head_layers) +
                                               " layers and codec " + std::to_string(codec));
}

SequentialPlanner::Computing SequentialPlanner::computing_s(std::size_t head_layers) const {
  const Row& row = rows_.at(head_layers);
  const auto stage_s = [](const detail::StageWork& work, const Tier& tier) {
    return work.time_s + tier.profile.stage_overhead_s;
  };
  return {head_layers == 0 ? 0 : stage_s(row.head, problem_.tiers[0]),
          head_layers + 1 == rows_.size() ? 0 : stage_s(row.tail, problem_.tiers[1])};
}

// The formulas of cost_terms.hpp once more, without the vectors that Cost takes from the heap; the tests hold the
// two against each other.
SequentialPlanner::Criteria SequentialPlanner::criteria_of(std::size_t head_layers, std::size_t codec,
                                                           const Conditions& conditions) const {
  const Row& row = rows_[head_layers];
  const DevicePower& power = problem_.power;
  const Computing computing = computing_s(head_layers);
  const double head = conditions.device_load_factor * computing.head_s;
  if (head_layers + 1 == rows_.size()) {
    const double compute = conditions.device_load_factor * input_decode_s_ + head;
    return {compute, compute, power.compute_watt * compute, 0, 0};
  }
  const Tier& worker = problem_.tiers[1];
  const CodecProfile& profile = problem_.codecs[codec];
  const double requests = 1 + profile.refined_share;
  const auto floats = static_cast<double>(row.boundary.float_bytes);
  const auto down_bytes = static_cast<double>(row.boundary.down_bytes);
  const double tail = requests * (conditions.worker_load_factor * computing.tail_s);
  const double down = requests * down_bytes / conditions.link.down_bytes_per_s;
  const double encode = conditions.device_load_factor * floats * coders_[codec].encode_s_per_byte;
  const double decode = conditions.worker_load_factor * floats * coders_[codec].decode_s_per_byte;
  const double up_bytes = row.boundary.coded_bytes(profile.ratio);
  const double up = up_bytes / conditions.link.up_bytes_per_s;
  const double busy = (profile.inputs_arrive ? 0 : conditions.device_load_factor * input_decode_s_) + head + encode;
  const double trips = requests * (conditions.link.overhead_s + conditions.link.rtt_s);
  const double latency = busy + trips + detail::start_s(worker) + up + decode + tail + down;
  const double energy = power.compute_watt * busy + power.transmit_watt * up + power.idle_watt * (latency - busy - up);
  const double billed = detail::billed_busy_s(worker, tail + decode, up_bytes);
  const double dollars =
      detail::dollars_of(worker, billed, requests) + requests * down_bytes * worker.price.egress_dollar_per_byte;
  return {latency, std::max({busy, tail + decode, up, down}), energy, dollars, profile.accuracy_loss};
}

double SequentialPlanner::value(std::size_t head_layers, std::size_t codec, Objective objective,
                                const Conditions& conditions) const {
  check(conditions);
  check_plan(head_layers, codec);
  return criteria_of(head_layers, codec, conditions).of(objective);
}

bool SequentialPlanner::keeps_to(std::size_t head_layers, std::size_t codec, const Constraints& constraints,
                                 const Conditions& conditions) const {
  check(conditions);
  check_plan(head_layers, codec);
  return criteria_of(head_layers, codec, conditions).keeps_to(constraints);
}

std::optional<SequentialPlanner::Choice> SequentialPlanner::choose(Objective objective, const Constraints& constraints,
                                                                   const Conditions& conditions) const {
  check(conditions);
  const std::size_t layers = rows_.size() - 1;
  std::optional<Choice> best;
  const auto consider = [&](std::size_t head_layers, std::size_t codec) {
    const Criteria found = criteria_of(head_layers, codec, conditions);
    if (!found.keeps_to(constraints)) return;
    const double value = found.of(objective);
    if (!best || value < best->value) best = {head_layers, codec, value};
  };
  if (rows_[layers].fits) consider(layers, 0);
  for (std::size_t i = constraints.min_head_layers; i < layers; ++i) {
    const Row& row = rows_[i];
    if (!row.legal || !row.fits) continue;
    for (std::size_t c = 0; c < coders_.size(); ++c) {
      if (!detail::applies(problem_.codecs[c], row.boundary, i)) continue;
      if (!detail::may_leak(constraints, leakages_db_[i * coders_.size() + c])) continue;
      consider(i, c);
    }
  }
  return best;
}

Candidate SequentialPlanner::candidate(std::size_t head_layers, std::size_t codec) const {
  const Row& row = rows_[head_layers];
  Candidate candidate;
  detail::CostSum sum(problem_);
  sum.add_stage(0, row.head);
  if (head_layers + 1 < rows_.size()) {
    candidate.assignment = {{0, 1}, {detail::first_layers(head_layers)}, {problem_.codecs[codec].name}};
    sum.add_hop(0, 1, row.boundary, problem_.codecs[codec]);
    sum.add_stage(1, row.tail);
  }
  candidate.cost = sum.finish();
  return candidate;
}

Plan SequentialPlanner::plan(Objective objective, const Constraints& constraints) const {
  constraints.validate();
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (std::size_t c = 0; c < problem_.codecs.size(); ++c) {
      if (i + 1 == rows_.size() && c > 0) break;
      if (i + 1 < rows_.size() && !detail::applies(problem_.codecs[c], rows_[i].boundary, i)) continue;
      Candidate next = candidate(i, c);
      next.violates =
          rows_[i].legal ? detail::violation_of(problem_, constraints, next.assignment, next.cost) : refused;
      candidates.push_back(std::move(next));
    }
  }
  return detail::finish_plan(problem_, objective, constraints, std::move(candidates), {});
}

}  // namespace splitnet
