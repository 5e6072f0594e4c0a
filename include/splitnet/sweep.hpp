// SPDX-License-Identifier: Apache-2.0
/// \file
/// Measures plans instead of predicting them: every cut, on every link, beside what the cost model said.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/cost_model.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/link_profile.hpp"
#include "splitnet/model.hpp"
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
  double bytes_up = 0;  ///< Predicted.
  SweepTimes predicted;
  SweepTimes measured;           ///< Medians over the second half; zeros when it was not measured.
  std::vector<double> first_s;   ///< Measurements of total_s, first half. Empty for a chosen row outside of the sample.
  std::vector<double> second_s;  ///< Measurements of total_s, second half.
  std::string not_measured;      ///< Why; empty: it was.

  /// |predicted − measured| / measured, of total_s.
  [[nodiscard]] double prediction_error() const;
  /// |median of the first half − that of the second| / that of the second: what repeating the measurement gives.
  /// Nothing without a first half.
  [[nodiscard]] std::optional<double> repetition_error() const;
  friend bool operator==(const SweepRow&, const SweepRow&) = default;
};

/// All plans for one link.
struct LinkSweep {
  std::string worker;  ///< The endpoint.
  LinkProfile link;
  double device_load_factor = 1;  ///< λ during the first half; predictions have it in them.
  double worker_load_factor = 1;
  std::vector<SweepRow> rows;  ///< By codec and head_layers.
  std::size_t chosen = 0;      ///< The row that the planner chose.
  std::size_t best = 0;        ///< The fastest row by the first half.
  double regret = 0;           ///< Time of the chosen row over that of the best one, less 1, both by the second half.
  /// The best row is a split, and by both halves faster than device only and worker only (with whatever codec).
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
  friend bool operator==(const Sweep&, const Sweep&) = default;
};

struct SweepOptions {
  std::vector<std::string> workers;  ///< Endpoints, one for each link, of the same worker. At least one.
  std::string model_name = {};       ///< What the worker calls the model.
  int threads = 0;                   ///< Of the device; see StageOptions.
  std::vector<CodecProfile> codecs = {CodecProfile{}};
  std::size_t max_cuts = 0;     ///< An even sample of so many cuts, and the chosen one; 0: every legal cut.
  std::size_t repetitions = 8;  ///< Of every plan, in two halves. At least 2.
  /// Before each inference: requests come one at a time; see ProfileOptions::pause.
  std::chrono::nanoseconds pause = std::chrono::milliseconds(30);
  double max_plan_s = 1e9;  ///< Plans predicted to take longer are listed but not measured; above 0.
  /// What is given is not measured.
  std::optional<DeviceProfile> device_profile = {};
  std::optional<DeviceProfile> worker_profile = {};
  std::vector<LinkProfile> link_profiles = {};  ///< One for each of `workers`, or none.
  TransportRegistry registry = TransportRegistry::with_defaults();
  CodecRegistry codec_registry = CodecRegistry::with_defaults();
  /// Called with plans measured and plans to measure on this link, on the calling thread. Empty: silence.
  std::function<void(const std::string& worker, std::size_t done, std::size_t total)> progress = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Profiles device and worker once, and every link. Then for each link, through Sessions: one warm-up of every plan;
/// the first half of the repetitions, plans in turns, so that a machine that grows slower spoils none in particular;
/// load factors from these (measured over profiled time of all heads, and of all tails), as a session would know them;
/// with them all predictions and the planner's choice (latency); the second half, on which predictions and choice are
/// scored. Device only and worker only are always among the plans. Throws as SweepOptions::validate, profile_two_tiers
/// and Session.
Sweep run_sweep(const std::shared_ptr<const Model>& model, const std::vector<Value>& inputs,
                const SweepOptions& options);

/// Readable JSON with its schema version.
std::string to_json(const Sweep& sweep);
/// Throws corrupt, incompatible as device_profile_from_json.
Sweep sweep_from_json(const std::string& json);

}  // namespace splitnet
