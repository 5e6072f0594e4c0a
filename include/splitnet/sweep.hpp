// SPDX-License-Identifier: Apache-2.0
/// \file
/// Measures plans instead of predicting them: every cut, on every link, beside what the cost model said.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "splitnet/cost_model.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/link_profile.hpp"
#include "splitnet/model.hpp"
#include "splitnet/tier_profiler.hpp"
#include "splitnet/transport_registry.hpp"

namespace splitnet {

/// Where the time of one inference goes, in seconds. total_s of a prediction is the sum of the others.
struct SweepTimes {
  double head_s = 0;
  double encode_s = 0;
  double transport_s = 0;  ///< Both ways, with the overhead of the call.
  double decode_s = 0;
  double tail_s = 0;
  double total_s = 0;
  friend bool operator==(const SweepTimes&, const SweepTimes&) = default;
};

/// One plan: cut and codec.
struct SweepRow {
  std::size_t head_layers = 0;  ///< 0: worker only; all layers of the model: device only.
  std::string cut;              ///< For people: "device only", "worker only", "after features.3".
  std::string codec = "raw";
  double bytes_up = 0;           ///< Predicted.
  SweepTimes predicted;          ///< With the load factors.
  double profiled_s = 0;         ///< total_s predicted from the profiles alone, load factors 1.
  SweepTimes measured;           ///< Medians over the second half; zeros when it was not measured.
  std::vector<double> first_s;   ///< Measurements of total_s, first half.
  std::vector<double> second_s;  ///< Measurements of total_s, second half.
  std::string not_measured;      ///< Why; empty: it was.

  // Of a row that was measured:
  /// |predicted − measured| / measured, of total_s.
  [[nodiscard]] double prediction_error() const;
  /// The same for profiled_s.
  [[nodiscard]] double profile_error() const;
  /// |median of the first half − that of the second| / that of the second: what repeating the measurement gives.
  [[nodiscard]] double repetition_error() const;
  friend bool operator==(const SweepRow&, const SweepRow&) = default;
};

/// All plans for one link.
struct LinkSweep {
  std::string worker;  ///< The endpoint.
  LinkProfile link;
  double device_load_factor = 1;  ///< λ during the first half; predictions have it in them.
  double worker_load_factor = 1;
  std::vector<SweepRow> rows;  ///< By codec and head_layers.
  std::size_t chosen = 0;      ///< The measured row with the lowest prediction; of equal ones the planner's.
  std::size_t best = 0;        ///< The fastest row by the first half.
  double regret = 0;           ///< Time of the chosen row over that of the best one, less 1, both by the second half.
  /// The best row is a split, and by both halves faster than device only and worker only with whatever codec.
  bool split_wins = false;
  friend bool operator==(const LinkSweep&, const LinkSweep&) = default;
};

/// A plain value, saved as JSON.
struct Sweep {
  static constexpr int schema_version = 1;
  std::string fingerprint;
  DeviceProfile device;
  DeviceProfile worker;
  std::vector<LinkSweep> links;
  std::string failure;  ///< Why links or plans are missing: what the worker was lost with. Empty: nothing is amiss.
  friend bool operator==(const Sweep&, const Sweep&) = default;
};

/// What is swept, and how thoroughly.
struct SweepOptions {
  std::vector<std::string> workers;  ///< Endpoints, one for each link, of the same worker. At least one.
  ConnectOptions connect = {};       ///< To each of them; see SessionOptions.
  /// As a session would have them; `link` stays empty, and threads and pauses are those below.
  TwoTierOptions planning = {};
  std::vector<LinkProfile> links = {};  ///< Measured already, one for each of `workers`; or none.
  int threads = 0;                      ///< Of the device; see StageOptions.
  std::size_t max_cuts = 0;     ///< An even sample of so many cuts, and the best few by prediction; 0: every legal cut.
  std::size_t repetitions = 4;  ///< Of every plan, for each half. At least 1.
  /// Before each inference: requests come one at a time; see ProfileOptions::pause. The worker's profile has the
  /// default.
  std::chrono::nanoseconds pause = ProfileOptions{}.pause;
  double max_plan_s = 1e9;  ///< Plans predicted to take longer are listed but not measured; above 0.
  TransportRegistry registry = TransportRegistry::with_defaults();
  /// Called with inferences measured and inferences to measure on this link, on the calling thread. Empty: silence.
  std::function<void(const std::string& worker, std::size_t done, std::size_t total)> progress = {};
  /// Stop it to end early: what has been measured until then is the result.
  std::stop_token stop = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Profiles device and worker once, and every link. Then, for each link, runs every plan through a Session on the
/// model's example inputs: plans take turns in random order, so that a machine that grows slower spoils none in
/// particular; each time one inference leaves both machines as this plan leaves them, then one belongs to the first
/// half of the measurements and one to the second. The first half gives load factors (measured over profiled time of
/// all heads, and of all tails); with them predictions and the choice (the measured plan with the lowest predicted
/// latency) are made; on the second half they are scored. Device only and worker only are always among the plans, and
/// so are the three best by the profiles. A plan that fails, or takes more than 10 s and ten times what was predicted,
/// is listed with its error. When it is stopped, plans that were not measured say so, and links of which none was are
/// left out; so it is when the worker is lost, or a link behind the first can't be measured (Sweep::failure). Throws as
/// SweepOptions::validate and profile_two_tiers; what device only fails with; unavailable when the worker is lost
/// before anything was measured; invalid_argument when max_plan_s leaves no plan.
Sweep run_sweep(const std::shared_ptr<const Model>& model, const SweepOptions& options);

/// Readable JSON with its schema version.
std::string to_json(const Sweep& sweep);
/// Throws corrupt, incompatible as device_profile_from_json.
Sweep sweep_from_json(const std::string& json);

}  // namespace splitnet
