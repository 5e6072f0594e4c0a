// SPDX-License-Identifier: Apache-2.0
/// \file
/// What a plan costs: latency, throughput, energy, money, memory and bytes, term by term.
///
/// A plan runs stage i (i = 0 … k−1) on tier i of its own list, hop i joins stages i and i+1. With the symbols of
/// the structures below, all in SI units:
///
///   compute_i = load_factor · (Σ time_s of its layers + stage_overhead_s, when it has layers)
///   bytes_up_i  = Σ over values that were made up to stage i (or are inputs) and are used after it: bytes,
///                 times the codec's ratio where the codec applies; each value once, however many layers read it
///   bytes_down_i = Σ bytes of results made after stage i: they come back over every hop on their way
///   input_decode = load_factor · bytes of f32 inputs / decode_bytes_per_s of the device, where inputs arrive encoded
///                  (CodecProfile::inputs_arrive) and are not sent as they came; otherwise 0
///   hop_i = encode + overhead_s + rtt_s + bytes_up/up_bytes_per_s + decode + bytes_down/down_bytes_per_s
///   latency = input_decode + Σ compute_i + Σ hop_i
///             + Σ remote tiers (cold_start_probability·cold_start_s + queue_wait_s)
///   period  = max over stages (decode + compute + encode, with input_decode) and over links, each direction by itself
///   throughput = 1 / period, when inferences are pipelined
///   energy  = compute_watt·(input_decode + compute_0 + encode_0) + transmit_watt·bytes_up_0/up_bytes_per_s
///             + idle_watt·(the rest of latency)
///   billed(start) = ⌈(start + decode + compute + encode + bytes_up·billed_s_per_byte + billed_overhead_s)
///                    / billing_unit_s⌉·billing_unit_s, with bytes_up and decode of the hop to the tier and encode of
///                   the one behind it
///   billed  = (1 − cold_start_probability)·billed(0) + cold_start_probability·billed(cold_start_billed_s)
///   dollars = Σ remote tiers: request_dollar + billed·memory_gigabyte·gigabyte_second_dollar
///             + bytes_down·egress_dollar_per_byte; with a refinement 1 + refined_share requests, each of which pays
///             request_dollar and billed(0) of its share of decode, compute and bytes_up; the first alone may be cold
///   memory_i = Σ parameter_bytes of its layers + max peak_bytes of its layers
///
/// Sources: latency and energy after Kang et al., "Neurosurgeon" (ASPLOS 2017), §4, and Hu et al., "Dynamic Adaptive
/// DNN Surgery" (INFOCOM 2019), §III, with the return path, overheads and codecs added; billing after the AWS
/// Lambda pricing page (duration in GB-seconds, rounded up to 1 ms) and "AWS Lambda standardizes billing for INIT
/// Phase" (AWS Compute Blog, 2025): billed duration = initialisation + invocation, rounded up together, for custom
/// runtimes and container images always, for every function since August 2025. docs/cost_model.md says what is ignored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/layer_graph.hpp"
#include "splitnet/link_profile.hpp"
#include "splitnet/refinement.hpp"

namespace splitnet {

/// Electrical power of the device (tier 0), in watts.
struct DevicePower {
  double compute_watt = 0;
  double transmit_watt = 0;
  double idle_watt = 0;
  friend bool operator==(const DevicePower&, const DevicePower&) = default;
};

/// What a remote tier charges. The defaults charge nothing.
struct Price {
  double request_dollar = 0;
  double gigabyte_second_dollar = 0;  ///< Of configured memory, for what is billed.
  double memory_gigabyte = 0;         ///< As configured (AWS counts 2^30 bytes).
  double billing_unit_s = 1e-3;       ///< Durations are rounded up to a multiple of this; above 0.
  double egress_dollar_per_byte = 0;  ///< For what the tier sends back.
  /// Billed for each request beside decoding, computing and encoding: reading it, the reply, the runtime.
  double billed_overhead_s = 0;
  double billed_s_per_byte = 0;  ///< Billed for each byte that the tier is sent: base64, checksums, copies.
  friend bool operator==(const Price&, const Price&) = default;
};

/// A place where a stage can run. Tier 0 is the device, which has the inputs and wants the results.
struct Tier {
  std::string name = {};
  DeviceProfile profile = {};
  double load_factor = 1;                         ///< λ: measured time over profiled time, now.
  std::optional<std::int64_t> memory_bytes = {};  ///< At most so much for a stage.
  Price price = {};
  double cold_start_probability = 0;
  double cold_start_s = 0;  ///< By which a cold call takes longer than a hot one.
  /// What of it is billed. Absent: all, which is the most; AWS bills the initialisation, but not fetching an image.
  std::optional<double> cold_start_billed_s = {};
  double queue_wait_s = 0;  ///< Expected.
  friend bool operator==(const Tier&, const Tier&) = default;
};

/// What a boundary codec does to f32 tensors; other values travel raw. `raw` has ratio 1. One codec may have several
/// profiles, each for a cut of its own.
struct CodecProfile {
  std::string name = "raw";
  double ratio = 1;          ///< Encoded bytes over raw bytes, side information included.
  double accuracy_loss = 0;  ///< Share of answers that change, 0 … 1.
  bool only_inputs = false;  ///< For pictures: applies only where nothing but the model's inputs crosses.
  /// Applies only to the cut behind these layers, for which it was calibrated; absent: to every cut.
  std::optional<LayerSet> head = {};
  CodecTables tables = {};  ///< What the codec needs beside its name.
  /// The model's inputs come in this form already, as EncodedPictures: the device sends them so without encoding, or
  /// decodes them before it does anything else with them. Of one profile at most, with only_inputs and head = {} (no
  /// layers); the ratio tells the files' typical size.
  bool inputs_arrive = false;
  /// Two codecs, the second one for answers that are close; then `name` is Refinement::name, and `head` says behind
  /// which layers. For plans with one worker.
  std::optional<Refinement> refinement = {};
  double refined_share = 0;  ///< Of inferences, with a second request each; the ratio counts its bytes too.
  /// Tables are equal when their bytes are.
  friend bool operator==(const CodecProfile& a, const CodecProfile& b);
};

/// What an attack rebuilt of the inputs from what this codec makes of this cut's boundary; see leakage.hpp.
struct LeakageProfile {
  LayerSet head;
  std::string codec = "raw";
  double psnr_db = 0;  ///< Of the input that was rebuilt best; may be infinite.
  friend bool operator==(const LeakageProfile&, const LeakageProfile&) = default;
};

/// Everything a planner needs. A plain value.
struct PlanningProblem {
  LayerGraph graph;
  std::vector<Tier> tiers;
  /// links[i][j − i − 1] joins tier i and tier j > i; absent: they can't reach each other.
  std::vector<std::vector<std::optional<LinkProfile>>> links;
  std::vector<CodecProfile> codecs = {CodecProfile{}};
  DevicePower power;
  std::vector<LeakageProfile> leakages = {};  ///< What is known; for Constraints::max_leakage_psnr_db.

  /// Device, worker and the link between them.
  static PlanningProblem two_tier(LayerGraph graph, Tier device, Tier worker, const LinkProfile& link);
  [[nodiscard]] const std::optional<LinkProfile>& link(std::size_t from, std::size_t to) const {
    return links[from][to - from - 1];
  }
  /// Throws invalid_argument (a field out of range, a matrix of the wrong shape, a codec without the tier's speed,
  /// no raw codec, two leakages of one cut and codec …), incompatible (a profile of another model).
  void validate() const;
};

/// What a stage takes; see the formulas above.
struct StageCost {
  std::size_t tier = 0;
  double compute_s = 0;
  std::int64_t memory_bytes = 0;
  double busy_s = 0;          ///< decode + compute + encode.
  double input_decode_s = 0;  ///< Of the device: part of busy_s, for inputs that arrive encoded.
  friend bool operator==(const StageCost&, const StageCost&) = default;
};

/// What a hop takes; see the formulas above.
struct HopCost {
  double encode_s = 0;
  double overhead_s = 0;
  double rtt_s = 0;
  double up_s = 0;
  double decode_s = 0;
  double down_s = 0;
  std::int64_t raw_bytes = 0;  ///< Of the boundary before the codec.
  double bytes_up = 0;
  double bytes_down = 0;
  friend bool operator==(const HopCost&, const HopCost&) = default;
};

/// Every term of one plan.
struct Cost {
  std::vector<StageCost> stages;
  std::vector<HopCost> hops;  ///< One less than stages.
  double start_s = 0;         ///< Expected cold starts and waiting in queues.
  double latency_s = 0;
  double period_s = 0;  ///< 1 / throughput.
  double energy_joule = 0;
  double dollars = 0;
  double accuracy_loss = 0;  ///< Sum over hops: an upper bound.
  friend bool operator==(const Cost&, const Cost&) = default;
};

/// Which stage runs where. Two tiers and one empty head: worker only. One tier: device only.
struct Assignment {
  std::vector<std::size_t> tiers = {0};  ///< Ascending, the first is 0.
  std::vector<LayerSet> heads;           ///< heads[i]: all layers of stages 0 … i. One less than tiers.
  std::vector<std::string> codecs;       ///< Of each hop.
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

/// All terms. Throws invalid_argument: tiers not ascending from 0, no link between two that follow one another, a
/// head that does not contain the one before it or is not closed, an unknown codec or one that does not apply to the
/// cut, counts that do not fit.
Cost cost_of(const PlanningProblem& problem, const Assignment& assignment);

}  // namespace splitnet
