// SPDX-License-Identifier: Apache-2.0
// Plan::explain: a table for people.
#include <algorithm>
#include <optional>
#include <string>

#include "boundary.hpp"
#include "cost_terms.hpp"
#include "planning.hpp"
#include "splitnet/planner.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

using detail::short_number;

std::string milliseconds(double seconds) {
  return short_number(seconds * 1e3);
}

bool is_sequential(const LayerSet& head) {
  return head.empty() || head.back() + 1 == head.size();
}

std::string name_of(const LayerGraph& graph, const LayerSet& head) {
  if (head.empty()) return "at input";
  if (is_sequential(head)) return "after " + graph.layers[head.back()].name;
  return std::to_string(head.size()) + " layers up to " + graph.layers[head.back()].name;
}

/// "device only", "worker only, f16", "split after features.3, raw", "split after a, raw → gpu after b, f16 → cloud".
std::string name_of(const PlanningProblem& problem, const Assignment& plan) {
  if (plan.heads.empty()) return "device only";
  const auto tier = [&](std::size_t i) { return problem.tiers[plan.tiers[i]].name; };
  if (plan.heads.size() == 1) {
    if (plan.heads.front().empty()) {
      return (problem.tiers.size() == 2 ? "worker" : tier(1)) + " only, " + plan.codecs.front();
    }
    return "split " + name_of(problem.graph, plan.heads.front()) + ", " + plan.codecs.front() +
           (problem.tiers.size() == 2 ? "" : " → " + tier(1));
  }
  std::string text = "split";
  for (std::size_t i = 0; i < plan.heads.size(); ++i) {
    text += " " + name_of(problem.graph, plan.heads[i]) + ", " + plan.codecs[i] + " → " + tier(i + 1);
  }
  return text;
}

const char* unit_of(Objective objective) {
  switch (objective) {
    case Objective::latency:
    case Objective::throughput: return " ms";
    case Objective::energy: return " J";
    case Objective::dollars: return " $";
  }
  return "";
}

std::string value_text(const Candidate& candidate, Objective objective) {
  const bool is_time = objective == Objective::latency || objective == Objective::throughput;
  return short_number(value_of(candidate.cost, objective) * (is_time ? 1e3 : 1)) + unit_of(objective);
}

/// The most that an attack rebuilt behind any hop; "?" where one has no figure.
std::string leakage_text(const PlanningProblem& problem, const Assignment& assignment) {
  std::optional<double> most;
  for (std::size_t hop = 0; hop < assignment.heads.size(); ++hop) {
    const LayerSet& head = assignment.heads[hop];
    const auto boundary = detail::boundary_of(problem.graph, detail::marks_of(head, problem.graph.layers.size()));
    const auto known = detail::leakage_psnr_db(problem, head, boundary, assignment.codecs[hop]);
    if (!known) return "?";
    most = std::max(most.value_or(*known), *known);
  }
  return most ? short_number(*most) : "";
}

/// One line of cells for a candidate; the terms of several hops are added up.
std::vector<std::string> cells_of(const PlanningProblem& problem, const Candidate& candidate) {
  const Cost& cost = candidate.cost;
  HopCost sum;
  for (const HopCost& hop : cost.hops) {
    sum.encode_s += hop.encode_s;
    sum.overhead_s += hop.overhead_s;
    sum.rtt_s += hop.rtt_s;
    sum.up_s += hop.up_s;
    sum.decode_s += hop.decode_s;
    sum.down_s += hop.down_s;
    sum.raw_bytes += hop.raw_bytes;
    sum.bytes_up += hop.bytes_up;
  }
  double remote_s = 0;
  for (std::size_t i = 1; i < cost.stages.size(); ++i) remote_s += cost.stages[i].compute_s;
  return {name_of(problem, candidate.assignment),
          milliseconds(cost.latency_s),
          milliseconds(cost.stages.front().compute_s),
          milliseconds(sum.encode_s),
          milliseconds(sum.overhead_s + sum.rtt_s),
          milliseconds(sum.up_s),
          milliseconds(cost.stages.front().input_decode_s + sum.decode_s),
          milliseconds(remote_s),
          milliseconds(sum.down_s),
          milliseconds(cost.start_s),
          milliseconds(cost.period_s),
          std::to_string(sum.raw_bytes),
          std::to_string(static_cast<std::int64_t>(sum.bytes_up)),
          short_number(cost.energy_joule),
          short_number(cost.dollars),
          short_number(cost.accuracy_loss),
          leakage_text(problem, candidate.assignment),
          candidate.violates};
}

/// The width of a text in characters: UTF-8 continuation bytes take no place.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string table_of(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths;
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string gap(widths[i] - width_of(line[i]), ' ');
      const bool is_words = i == 0 || i + 1 == line.size();
      row += is_words ? line[i] + gap + "  " : gap + line[i] + "  ";
    }
    text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string against(const char* name, const std::optional<Candidate>& baseline, const Candidate& chosen,
                    Objective objective) {
  if (!baseline) return {};
  std::string text = std::string("  ") + name + ": " + value_text(*baseline, objective);
  const double best = value_of(chosen.cost, objective);
  if (best > 0) text += ", " + short_number(value_of(baseline->cost, objective) / best) + " × the plan";
  if (!baseline->violates.empty()) text += " (not allowed: " + baseline->violates + ")";
  return text + "\n";
}

/// As it arrives.
std::int64_t input_bytes(const PlanningProblem& problem) {
  const auto* form = detail::arriving(problem);
  const auto inputs = detail::boundary_of(problem.graph, std::vector<bool>(problem.graph.layers.size(), false));
  return static_cast<std::int64_t>(inputs.coded_bytes(form == nullptr ? 1 : form->ratio));
}

/// Why the best real split is not the plan, term by term against the plan.
std::string why_not(const PlanningProblem& problem, const Plan& plan) {
  const auto is_split = [](const Candidate& c) {
    return c.violates.empty() && !c.assignment.heads.empty() && !c.assignment.heads.front().empty();
  };
  const auto best = std::find_if(plan.candidates.begin(), plan.candidates.end(), is_split);
  if (best == plan.candidates.end()) return "  no split keeps to the constraints\n";
  const HopCost& hop = best->cost.hops.front();
  std::string text = "  the best split: " + name_of(problem, best->assignment) + ", " +
                     value_text(*best, plan.objective) + ": it sends " +
                     std::to_string(static_cast<std::int64_t>(hop.bytes_up)) + " bytes";
  text += " where the input has " + std::to_string(input_bytes(problem));
  return text + ", " + milliseconds(hop.up_s) + " ms on the link, after " +
         milliseconds(best->cost.stages.front().compute_s) + " ms on the device\n";
}

}  // namespace

std::string Plan::explain(const PlanningProblem& problem, std::size_t rows) const {
  std::vector<std::vector<std::string>> lines{{"plan", "latency ms", "device ms", "encode ms", "rtt+overhead ms",
                                               "up ms", "decode ms", "remote ms", "down ms", "start ms", "period ms",
                                               "boundary B", "sent B", "energy J", "dollars", "accuracy loss",
                                               "leakage dB", "breaks"}};
  for (std::size_t i = 0; i < std::min(rows, candidates.size()); ++i) lines.push_back(cells_of(problem, candidates[i]));
  std::string text = "objective: " + std::string(to_string(objective)) + "\n";
  if (const auto* form = detail::arriving(problem)) {
    text += "inputs arrive as " + form->name + ", " + std::to_string(input_bytes(problem)) +
            " bytes; where they are not sent so, \"decode ms\" has what the device takes to decode them\n";
  }
  text += table_of(lines);
  if (candidates.size() > rows) text += "… and " + std::to_string(candidates.size() - rows) + " more\n";
  if (!chosen) return text + "verdict: " + infeasible + "\n";
  const auto& heads = chosen->assignment.heads;
  const bool splits = !heads.empty() && !(heads.size() == 1 && heads.front().empty());
  text += "verdict: " + std::string(splits ? "" : "don't split; ") + name_of(problem, chosen->assignment) + ", " +
          value_text(*chosen, objective) + "\n";
  text += against("device only", device_only, *chosen, objective);
  text += against("worker only", worker_only, *chosen, objective);
  text += against("worker only, compressed", worker_only_compressed, *chosen, objective);
  if (!splits) text += why_not(problem, *this);
  if (gap > 0) text += "  at most " + short_number(gap * 100) + " % worse than the best plan there is\n";
  return text;
}

}  // namespace splitnet
