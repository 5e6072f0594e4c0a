// SPDX-License-Identifier: Apache-2.0
// What all planners do with a candidate. Private.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "boundary.hpp"
#include "splitnet/planner.hpp"

namespace splitnet::detail {

/// Validates, and throws invalid_argument unless there are a device and a worker with a link.
void check_two_tiers(const PlanningProblem& problem);

/// The layers 0 … count−1.
LayerSet first_layers(std::size_t count);

/// What is known of sending this boundary with this codec: a PSNR in dB; nothing when an input crosses itself, or no
/// attack made a statement.
std::optional<double> leakage_psnr_db(const PlanningProblem& problem, const LayerSet& head, const Boundary& boundary,
                                      const std::string& codec);
/// Whether Constraints::max_leakage_psnr_db lets what leaks so cross.
bool may_leak(const Constraints& constraints, const std::optional<double>& psnr_db);

/// The first constraint that this candidate breaks, with found and allowed; empty: none.
std::string violation_of(const PlanningProblem& problem, const Constraints& constraints, const Assignment& assignment,
                         const Cost& cost);

/// A candidate with its cost and what it breaks.
Candidate make_candidate(const PlanningProblem& problem, const Constraints& constraints, Assignment assignment);

/// Everything on the device; on remote tier `tier` behind the codec, when they have a link and it applies.
Candidate device_only(const PlanningProblem& problem, const Constraints& constraints);
std::optional<Candidate> worker_only(const PlanningProblem& problem, const Constraints& constraints, std::size_t tier,
                                     const CodecProfile& codec);

/// Orders the candidates, takes the best for chosen, or says which constraint stands in the way, and fills in the
/// baselines. Ties go to the candidate with fewer tiers, then to the baseline. Without candidates nothing is
/// chosen, and the caller says why.
Plan finish_plan(const PlanningProblem& problem, Objective objective, const Constraints& constraints,
                 std::vector<Candidate> candidates, const IsLegal& is_legal);

}  // namespace splitnet::detail
