// SPDX-License-Identifier: Apache-2.0
/// \file
/// Chooses cut, codec and place together, and says when not to split.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "splitnet/cost_model.hpp"

namespace splitnet {

/// What to make small.
enum class Objective : unsigned char {
  latency,     ///< Cost::latency_s.
  throughput,  ///< Cost::period_s.
  energy,      ///< Cost::energy_joule.
  dollars,     ///< Cost::dollars.
};
std::string_view to_string(Objective objective) noexcept;
/// The term of `cost` that the objective makes small.
double value_of(const Cost& cost, Objective objective) noexcept;

/// What a plan must keep to; memory per tier stands in Tier::memory_bytes. Absent: no bound.
struct Constraints {
  std::optional<double> max_latency_s;
  std::optional<double> max_period_s;  ///< 1 / the throughput wanted.
  std::optional<double> max_energy_joule;
  std::optional<double> max_dollars;
  std::optional<double> max_accuracy_loss;
  /// Privacy: whoever sends at all first runs at least so many layers on the device.
  std::size_t min_head_layers = 0;
  /// Privacy, measured: whatever is sent, on any hop, has a figure in PlanningProblem::leakages, and that is at most so
  /// many dB. A cut and codec without a figure are not allowed, nor is a cut that any of the model's inputs crosses
  /// itself; device only always is. The mean of other pictures has 10 to 15 dB, a picture rebuilt with 30 is near to
  /// the original. What the attack did not rebuild may still be rebuilt by a better one.
  std::optional<double> max_leakage_psnr_db = {};

  /// Throws invalid_argument: a bound that is not a number, or negative.
  void validate() const;
  friend bool operator==(const Constraints&, const Constraints&) = default;
};

/// One way to run the model, with what it costs.
struct Candidate {
  Assignment assignment;
  Cost cost;
  std::string violates;  ///< The first constraint it breaks, with found and allowed; empty: it keeps to all.
  friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// A plan and how it was found. A plain value.
struct Plan {
  Objective objective = Objective::latency;
  std::optional<Candidate> chosen;    ///< Absent: no plan keeps to the constraints.
  std::string infeasible;             ///< Then: which constraint breaks every plan.
  std::vector<Candidate> candidates;  ///< All that were looked at; best first, those that break a constraint last.
  double gap = 0;                     ///< The chosen one is at most this much (relative) worse than the best there is.
  std::optional<Candidate> device_only;
  std::optional<Candidate> worker_only;             ///< The better of the remote tiers.
  std::optional<Candidate> worker_only_compressed;  ///< The same with the best codec other than raw.

  /// A table of the candidates with every term, best first (at most `rows`), and a verdict against the
  /// three baselines. For people.
  [[nodiscard]] std::string explain(const PlanningProblem& problem, std::size_t rows = 20) const;
};

/// Says whether a model may be cut so; see Model::refusal. Empty: all closed sets are legal.
using IsLegal = std::function<bool(const std::vector<LayerSet>& cuts)>;

/// Two tiers, all sequential cuts and codecs: exact by looking at each. What does not change with link and load
/// is computed once, so that choosing again takes microseconds. Immutable; safe to use from several threads.
class SequentialPlanner {
 public:
  /// Throws invalid_argument and incompatible as PlanningProblem::validate; invalid_argument: not two tiers that
  /// have a link.
  explicit SequentialPlanner(PlanningProblem problem, const IsLegal& is_legal = {});
  ~SequentialPlanner();
  SequentialPlanner(SequentialPlanner&&) noexcept;

  /// What may change while a session runs.
  struct Conditions {
    LinkProfile link;
    double device_load_factor = 1;
    double worker_load_factor = 1;
  };
  /// Cut and codec.
  struct Choice {
    std::size_t head_layers = 0;  ///< All of them: device only.
    std::size_t codec = 0;        ///< Index into PlanningProblem::codecs; 0 for device only.
    double value = 0;             ///< Of the objective.
    friend bool operator==(const Choice&, const Choice&) = default;
  };
  /// The best one under these conditions instead of those of the problem; nothing when none keeps to the
  /// constraints. Allocates nothing. Throws invalid_argument (conditions out of range).
  [[nodiscard]] std::optional<Choice> choose(Objective objective, const Constraints& constraints,
                                             const Conditions& conditions) const;

  /// What this one costs under these conditions, whether or not it keeps to any constraints. Allocates nothing. Throws
  /// invalid_argument (conditions out of range, no such plan).
  [[nodiscard]] double value(std::size_t head_layers, std::size_t codec, Objective objective,
                             const Conditions& conditions) const;
  /// Whether it keeps to the constraints under these conditions, as far as these matter. Otherwise as `value`.
  [[nodiscard]] bool keeps_to(std::size_t head_layers, std::size_t codec, const Constraints& constraints,
                              const Conditions& conditions) const;
  /// Of the stages of a plan with so many layers in its head, each on its own tier with a load factor of 1.
  struct Computing {
    double head_s = 0;  ///< 0: there is none.
    double tail_s = 0;  ///< Likewise.
  };
  [[nodiscard]] Computing computing_s(std::size_t head_layers) const;

  /// All candidates with every term. Throws invalid_argument as Constraints::validate.
  [[nodiscard]] Plan plan(Objective objective, const Constraints& constraints = {}) const;

 private:
  struct Row;       // What one sequential cut takes, whatever link and load.
  struct Criteria;  // What one candidate costs.
  struct Coder {
    double encode_s_per_byte = 0;
    double decode_s_per_byte = 0;
  };
  static void check(const Conditions& conditions);
  void check_plan(std::size_t head_layers, std::size_t codec) const;
  [[nodiscard]] Criteria criteria_of(std::size_t head_layers, std::size_t codec, const Conditions& conditions) const;
  [[nodiscard]] Candidate candidate(std::size_t head_layers, std::size_t codec) const;

  PlanningProblem problem_;
  std::vector<Row> rows_;  // By head_layers.
  std::vector<Coder> coders_;
  double input_decode_s_ = 0;                       // On the device, unless inputs are sent as they came.
  std::vector<std::optional<double>> leakages_db_;  // By head_layers and codec.
};

/// How hard plan_dag tries where it can't be exact.
struct DagOptions {
  std::size_t exact_layers = 14;
  std::size_t relaxation_steps = 100;
};

/// Two tiers, any closed set of layers, one codec for the boundary. Without constraints and for latency and
/// energy exact by a minimum cut per codec; otherwise exact to `exact_layers` layers by looking at every closed set,
/// and beyond that by Lagrangian relaxation, with Plan::gap certified by the bound that it gives. Billing rounds up, so
/// that dollars count as constrained. Errors as SequentialPlanner.
Plan plan_dag(const PlanningProblem& problem, Objective objective, const Constraints& constraints = {},
              const IsLegal& is_legal = {}, const DagOptions& options = {});

/// Any number of tiers in order, of which some may be skipped or only pass tensors on; sequential cuts; a codec for
/// each hop. Exact under all constraints by dynamic programming over (layers done, tier, codec) with the
/// labels that no other label dominates; codecs with a refinement are left out. Errors as PlanningProblem::validate and
/// Constraints::validate.
Plan plan_tiers(const PlanningProblem& problem, Objective objective, const Constraints& constraints = {},
                const IsLegal& is_legal = {});

/// All plans over sequential cuts that no other plan beats in every one of `objectives` (at least one), in
/// ascending order of the first. Exact. Errors as plan_tiers.
std::vector<Candidate> pareto_front(const PlanningProblem& problem, const std::vector<Objective>& objectives,
                                    const Constraints& constraints = {}, const IsLegal& is_legal = {});

}  // namespace splitnet
