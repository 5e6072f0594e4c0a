// SPDX-License-Identifier: Apache-2.0
#include "splitnet/cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "boundary.hpp"
#include "check_number.hpp"
#include "cost_terms.hpp"
#include "splitnet/cut.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using detail::check_not_negative;
using detail::check_number;
using detail::check_positive;

[[noreturn]] void wrong(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, what);
}

void check_tier(const Tier& tier, std::size_t index, const LayerGraph& graph) {
  const std::string name = "tier " + std::to_string(index) + " (" + tier.name + "): ";
  try {
    tier.profile.validate();
    tier.profile.check_fits(graph);
  } catch (const Error& error) {
    throw Error(error.code(), name + error.what());
  }
  check_positive(name + "load_factor", tier.load_factor);
  check_not_negative(name + "cold_start_s", tier.cold_start_s);
  check_not_negative(name + "cold_start_billed_s", detail::cold_start_billed_s(tier));
  check_not_negative(name + "queue_wait_s", tier.queue_wait_s);
  check_number(tier.cold_start_probability >= 0 && tier.cold_start_probability <= 1, name + "cold_start_probability",
               tier.cold_start_probability, "0 … 1");
  check_not_negative(name + "price.request_dollar", tier.price.request_dollar);
  check_not_negative(name + "price.gigabyte_second_dollar", tier.price.gigabyte_second_dollar);
  check_not_negative(name + "price.memory_gigabyte", tier.price.memory_gigabyte);
  check_not_negative(name + "price.egress_dollar_per_byte", tier.price.egress_dollar_per_byte);
  check_not_negative(name + "price.billed_overhead_s", tier.price.billed_overhead_s);
  check_not_negative(name + "price.billed_s_per_byte", tier.price.billed_s_per_byte);
  check_positive(name + "price.billing_unit_s", tier.price.billing_unit_s);
  if (tier.memory_bytes && *tier.memory_bytes < 0) {
    wrong(name + "memory_bytes is " + std::to_string(*tier.memory_bytes) + ", expected 0 or more");
  }
}

void check_links(const PlanningProblem& problem) {
  const std::size_t tiers = problem.tiers.size();
  if (problem.links.size() + 1 < tiers) {
    wrong("links: rows for " + std::to_string(problem.links.size()) + " tiers, expected " + std::to_string(tiers - 1));
  }
  for (std::size_t from = 0; from + 1 < tiers; ++from) {
    if (problem.links[from].size() != tiers - 1 - from) {
      wrong("links[" + std::to_string(from) + "]: " + std::to_string(problem.links[from].size()) +
            " entries, expected " + std::to_string(tiers - 1 - from));
    }
    for (const auto& link : problem.links[from]) {
      if (link) link->validate();
    }
  }
}

/// The form in which inputs arrive is for inputs alone, and there is only one.
void check_arrival(const PlanningProblem& problem, const CodecProfile& codec) {
  const std::string name = "codec " + codec.name + ": inputs arrive in it, ";
  if (codec.name == "raw") wrong(name + "which needs no saying");
  if (!codec.only_inputs || codec.head != LayerSet{})
    wrong(name + "and only_inputs or a head without layers is missing");
  if (const auto* first = detail::arriving(problem); first != &codec)
    wrong(name + "and in " + first->name + " as well");
}

void check_refinement(const CodecProfile& codec) {
  const std::string name = "codec " + codec.name + ": ";
  check_number(codec.refined_share >= 0 && codec.refined_share <= (codec.refinement ? 1 : 0), name + "refined_share",
               codec.refined_share, codec.refinement ? "0 … 1" : "0 without a refinement");
  if (!codec.refinement) return;
  codec.refinement->validate();
  if (codec.name != codec.refinement->name()) wrong(name + "expected the name " + codec.refinement->name());
  if (!codec.head) wrong(name + "a refinement needs the cut that its margin was found for");
}

void check_codecs(const PlanningProblem& problem) {
  bool has_raw = false;
  for (const CodecProfile& codec : problem.codecs) {
    const std::string name = "codec " + codec.name + ": ";
    check_positive(name + "ratio", codec.ratio);
    check_number(codec.accuracy_loss >= 0 && codec.accuracy_loss <= 1, name + "accuracy_loss", codec.accuracy_loss,
                 "0 … 1");
    if (codec.inputs_arrive) check_arrival(problem, codec);
    check_refinement(codec);
    if (codec.name == "raw") {
      has_raw = true;
      if (codec.ratio != 1) wrong(name + "ratio is " + std::to_string(codec.ratio) + ", expected 1");
      if (codec.head) wrong(name + "it applies to every cut, and a head is given");
      continue;
    }
    if (codec.head && problem.graph.resolve(Cut::of(*codec.head)) != *codec.head) {
      wrong(name + "the layers of its cut are not sorted or repeat");
    }
    for (const CodecProfile& other : problem.codecs) {
      if (&other == &codec || other.name != codec.name) continue;
      if (!codec.head || !other.head || *codec.head == *other.head) wrong(name + "two profiles apply to one cut");
    }
    for (const Tier& tier : problem.tiers) {
      if (detail::speed_of(tier, codec.name) != nullptr) continue;
      wrong(name + "the profile of tier " + tier.name + " does not say how fast it is");
    }
  }
  if (!has_raw) wrong("codecs: raw is not among them");
}

void check_leakages(const PlanningProblem& problem) {
  std::set<std::pair<LayerSet, std::string>> seen;
  for (const LeakageProfile& leakage : problem.leakages) {
    const std::string name =
        "leakage of codec " + leakage.codec + " behind " + std::to_string(leakage.head.size()) + " layers: ";
    if (problem.graph.resolve(Cut::of(leakage.head)) != leakage.head) {
      wrong(name + "the layers are not sorted or repeat");
    }
    if (std::isnan(leakage.psnr_db)) wrong(name + "psnr_db is nan, expected a number");
    if (!seen.emplace(leakage.head, leakage.codec).second) wrong(name + "given twice");
  }
}

/// Of the profiles with this name the one for the cut, if there is one.
const CodecProfile& find_codec(const PlanningProblem& problem, const std::string& name, const LayerSet& head) {
  const CodecProfile* found = nullptr;
  for (const CodecProfile& codec : problem.codecs) {
    if (codec.name == name && (found == nullptr || codec.head == head)) found = &codec;
  }
  if (found != nullptr) return *found;
  std::vector<std::string> known;
  for (const CodecProfile& codec : problem.codecs) known.push_back(codec.name);
  wrong("unknown codec '" + name + "'; expected one of: " + detail::joined(known));
}

void check_assignment(const PlanningProblem& problem, const Assignment& assignment) {
  const auto& tiers = assignment.tiers;
  if (tiers.empty() || tiers.front() != 0) wrong("assignment: the first stage is on another tier than 0, the device");
  if (assignment.heads.size() + 1 != tiers.size() || assignment.codecs.size() + 1 != tiers.size()) {
    wrong("assignment: " + std::to_string(tiers.size()) + " tiers with " + std::to_string(assignment.heads.size()) +
          " heads and " + std::to_string(assignment.codecs.size()) + " codecs, expected one less of each");
  }
  for (std::size_t i = 1; i < tiers.size(); ++i) {
    if (tiers[i] <= tiers[i - 1] || tiers[i] >= problem.tiers.size()) {
      wrong("assignment: tier " + std::to_string(tiers[i]) + " after tier " + std::to_string(tiers[i - 1]) +
            ", expected ascending numbers below " + std::to_string(problem.tiers.size()));
    }
    if (!problem.link(tiers[i - 1], tiers[i])) {
      wrong("assignment: there is no link between tier " + std::to_string(tiers[i - 1]) + " and tier " +
            std::to_string(tiers[i]));
    }
  }
  for (std::size_t i = 0; i < assignment.heads.size(); ++i) {
    (void)problem.graph.resolve(Cut::of(assignment.heads[i]));
    if (i > 0 && !std::includes(assignment.heads[i].begin(), assignment.heads[i].end(), assignment.heads[i - 1].begin(),
                                assignment.heads[i - 1].end())) {
      wrong("assignment: head " + std::to_string(i) + " does not contain the one before it");
    }
  }
}

/// `before` and `after` mark the layers done up to this stage without and with it.
detail::StageWork work_of(const PlanningProblem& problem, std::size_t tier, const std::vector<bool>& before,
                          const std::vector<bool>& after) {
  detail::StageWork work;
  const auto& times = problem.tiers[tier].profile.layers;
  for (std::size_t layer = 0; layer < times.size(); ++layer) {
    if (before[layer] || !after[layer]) continue;
    work.add(times[layer], problem.graph.layers[layer].parameter_bytes);
  }
  return work;
}

}  // namespace

bool operator==(const CodecProfile& a, const CodecProfile& b) {
  const auto rest = [](const CodecProfile& profile) {
    return std::tie(profile.name, profile.ratio, profile.accuracy_loss, profile.only_inputs, profile.head,
                    profile.inputs_arrive, profile.refinement, profile.refined_share);
  };
  const bool same_tables = a.tables == b.tables || (a.tables && b.tables && *a.tables == *b.tables);
  return same_tables && rest(a) == rest(b);
}

PlanningProblem PlanningProblem::two_tier(LayerGraph graph, Tier device, Tier worker, const LinkProfile& link) {
  PlanningProblem problem;
  problem.graph = std::move(graph);
  problem.tiers = {std::move(device), std::move(worker)};
  problem.links = {{link}};
  return problem;
}

void PlanningProblem::validate() const {
  if (tiers.empty()) wrong("planning: no tiers; expected at least the device");
  for (std::size_t i = 0; i < tiers.size(); ++i) check_tier(tiers[i], i, graph);
  check_links(*this);
  check_codecs(*this);
  check_leakages(*this);
  check_not_negative("power.compute_watt", power.compute_watt);
  check_not_negative("power.transmit_watt", power.transmit_watt);
  check_not_negative("power.idle_watt", power.idle_watt);
}

Cost cost_of(const PlanningProblem& problem, const Assignment& assignment) {
  check_assignment(problem, assignment);
  const std::size_t layers = problem.graph.layers.size();
  detail::CostSum sum(problem);
  std::vector<bool> done(layers, false);
  for (std::size_t i = 0; i < assignment.tiers.size(); ++i) {
    const bool is_last = i == assignment.heads.size();
    const auto after = is_last ? std::vector<bool>(layers, true) : detail::marks_of(assignment.heads[i], layers);
    sum.add_stage(assignment.tiers[i], work_of(problem, assignment.tiers[i], done, after));
    if (is_last) break;
    const CodecProfile& codec = find_codec(problem, assignment.codecs[i], assignment.heads[i]);
    const auto boundary = detail::boundary_of(problem.graph, after);
    if (!detail::applies(codec, boundary, assignment.heads[i], assignment.tiers[i])) {
      wrong("assignment: codec " + codec.name + " is for " +
            (codec.inputs_arrive ? "inputs as they arrive"
             : codec.only_inputs ? "inputs only"
                                 : "another cut") +
            ", and does not apply to hop " + std::to_string(i));
    }
    sum.add_hop(assignment.tiers[i], assignment.tiers[i + 1], boundary, codec);
    done = after;
  }
  return sum.finish();
}

}  // namespace splitnet
