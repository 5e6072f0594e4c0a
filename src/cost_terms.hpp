// SPDX-License-Identifier: Apache-2.0
// The formulas of cost_model.hpp, each in one place: the cost of an assignment and every planner add them up.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "boundary.hpp"
#include "splitnet/cost_model.hpp"

namespace splitnet::detail {

/// Null when the profile does not say, as for raw, which costs nothing.
inline const CodecSpeed* speed_of(const Tier& tier, const std::string& codec) {
  const auto& speeds = tier.profile.codecs;
  const auto found = std::find_if(speeds.begin(), speeds.end(), [&](const auto& s) { return s.codec == codec; });
  return found == speeds.end() ? nullptr : &*found;
}

/// The form in which the model's inputs arrive, when they are encoded; or null.
inline const CodecProfile* arriving(const PlanningProblem& problem) {
  const auto& codecs = problem.codecs;
  const auto found = std::find_if(codecs.begin(), codecs.end(), [](const auto& codec) { return codec.inputs_arrive; });
  return found == codecs.end() ? nullptr : &*found;
}

/// What the device takes to decode inputs that arrive encoded, by its profile. Every plan has it that does not send
/// them as they came.
inline double input_decode_s(const PlanningProblem& problem) {
  const auto* form = arriving(problem);
  const auto* speed = form == nullptr ? nullptr : speed_of(problem.tiers[0], form->name);
  if (speed == nullptr) return 0;
  const auto inputs = boundary_of(problem.graph, std::vector<bool>(problem.graph.layers.size(), false));
  return static_cast<double>(inputs.float_bytes) / speed->decode_bytes_per_s;
}

/// Whether the codec may be used where this boundary crosses behind `head`, sent by tier `from`.
inline bool applies(const CodecProfile& codec, const Boundary& boundary, const LayerSet& head, std::size_t from = 0) {
  if (codec.inputs_arrive && from > 0) return false;
  return (!codec.only_inputs || boundary.only_inputs) && (!codec.head || *codec.head == head);
}
/// The same behind the first `layers` layers.
inline bool applies(const CodecProfile& codec, const Boundary& boundary, std::size_t layers, std::size_t from = 0) {
  if (codec.inputs_arrive && from > 0) return false;
  const bool is_there =
      !codec.head || (codec.head->size() == layers && (layers == 0 || codec.head->back() + 1 == layers));
  return is_there && (!codec.only_inputs || boundary.only_inputs);
}

/// The layers of one stage.
struct StageWork {
  double time_s = 0;
  std::int64_t parameter_bytes = 0;
  std::int64_t peak_bytes = 0;
  bool has_layers = false;

  void add(const LayerTime& layer, std::int64_t parameters) {
    time_s += layer.time_s;
    parameter_bytes += parameters;
    peak_bytes = std::max(peak_bytes, layer.peak_bytes);
    has_layers = true;
  }
  [[nodiscard]] std::int64_t memory_bytes() const { return parameter_bytes + peak_bytes; }
};

inline double compute_s(const Tier& tier, const StageWork& work) {
  return work.has_layers ? tier.load_factor * (work.time_s + tier.profile.stage_overhead_s) : 0;
}

inline double second_dollar(const Price& price) {
  return price.memory_gigabyte * price.gigabyte_second_dollar;
}

inline double cold_start_billed_s(const Tier& tier) {
  return tier.cold_start_billed_s.value_or(tier.cold_start_s);
}

/// What is billed of `busy` seconds and of the bytes that came.
inline double billed_busy_s(const Tier& tier, double busy, double bytes_up) {
  return busy + bytes_up * tier.price.billed_s_per_byte;
}

/// Of `requests` for one inference, which share what is billed of `busy` seconds. The first of them alone may be cold.
inline double dollars_of(const Tier& tier, double busy, double requests = 1) {
  const Price& price = tier.price;
  const auto billed_s = [&](double start) {
    const double whole = start + busy / requests + price.billed_overhead_s;
    return std::ceil(whole / price.billing_unit_s) * price.billing_unit_s;
  };
  const double hot_s = billed_s(0);
  const double start_s = tier.cold_start_probability * (billed_s(cold_start_billed_s(tier)) - hot_s);
  return requests * price.request_dollar + (requests * hot_s + start_s) * second_dollar(price);
}

inline double start_s(const Tier& tier) {
  return tier.cold_start_probability * tier.cold_start_s + tier.queue_wait_s;
}

inline HopCost hop_cost(const Tier& from, const Tier& to, const LinkProfile& link, const Boundary& boundary,
                        const CodecProfile& codec) {
  HopCost hop;
  hop.overhead_s = link.overhead_s;
  hop.rtt_s = link.rtt_s;
  hop.raw_bytes = boundary.raw_bytes;
  hop.bytes_up = boundary.coded_bytes(codec.ratio);
  hop.bytes_down = static_cast<double>(boundary.down_bytes);
  hop.up_s = hop.bytes_up / link.up_bytes_per_s;
  hop.down_s = hop.bytes_down / link.down_bytes_per_s;
  const double requests = 1 + codec.refined_share;
  for (double* const term : {&hop.overhead_s, &hop.rtt_s, &hop.bytes_down, &hop.down_s}) *term *= requests;
  const auto floats = static_cast<double>(boundary.float_bytes);
  if (const auto* speed = speed_of(from, codec.name); speed != nullptr && !codec.inputs_arrive)
    hop.encode_s = from.load_factor * floats / speed->encode_bytes_per_s;
  if (const auto* speed = speed_of(to, codec.name)) hop.decode_s = to.load_factor * floats / speed->decode_bytes_per_s;
  return hop;
}

inline double hop_latency_s(const HopCost& hop) {
  return hop.encode_s + hop.overhead_s + hop.rtt_s + hop.up_s + hop.decode_s + hop.down_s;
}

/// Adds up the terms of stages and hops in the order in which they are given.
class CostSum {
 public:
  explicit CostSum(const PlanningProblem& problem) : problem_(problem) {}

  void add_stage(std::size_t tier, const StageWork& work) {
    const Tier& where = problem_.tiers[tier];
    const double compute = requests_.back() * compute_s(where, work);
    cost_.stages.push_back({tier, compute, work.memory_bytes(), compute});
    cost_.latency_s += compute;
    if (tier > 0) cost_.start_s += start_s(where);
  }

  void add_hop(std::size_t from, std::size_t to, const Boundary& boundary, const CodecProfile& codec) {
    const HopCost hop = hop_cost(problem_.tiers[from], problem_.tiers[to], *problem_.link(from, to), boundary, codec);
    cost_.hops.push_back(hop);
    cost_.latency_s += hop_latency_s(hop);
    cost_.dollars += hop.bytes_down * problem_.tiers[to].price.egress_dollar_per_byte;
    cost_.accuracy_loss += codec.accuracy_loss;
    requests_.push_back(1 + codec.refined_share);
    sends_as_it_came_ = sends_as_it_came_ || codec.inputs_arrive;
  }

  Cost finish() {
    StageCost& device = cost_.stages.front();
    if (!sends_as_it_came_) device.input_decode_s = problem_.tiers[0].load_factor * input_decode_s(problem_);
    device.busy_s += device.input_decode_s;
    cost_.latency_s += device.input_decode_s + cost_.start_s;
    for (std::size_t i = 0; i < cost_.stages.size(); ++i) {
      auto& stage = cost_.stages[i];
      if (i > 0) stage.busy_s += cost_.hops[i - 1].decode_s;
      if (i < cost_.hops.size()) stage.busy_s += cost_.hops[i].encode_s;
      cost_.period_s = std::max(cost_.period_s, stage.busy_s);
      if (i == 0) continue;
      const Tier& where = problem_.tiers[stage.tier];
      const double billed_s = billed_busy_s(where, stage.busy_s, cost_.hops[i - 1].bytes_up);
      cost_.dollars += dollars_of(where, billed_s, requests_[i]);
    }
    for (const auto& hop : cost_.hops) cost_.period_s = std::max({cost_.period_s, hop.up_s, hop.down_s});
    const double busy_s = cost_.stages.front().busy_s;
    const double transmit_s = cost_.hops.empty() ? 0 : cost_.hops.front().up_s;
    const DevicePower& power = problem_.power;
    cost_.energy_joule = power.compute_watt * busy_s + power.transmit_watt * transmit_s +
                         power.idle_watt * (cost_.latency_s - busy_s - transmit_s);
    return std::move(cost_);
  }

 private:
  const PlanningProblem& problem_;
  Cost cost_;
  std::vector<double> requests_{1};  // By stage: for each inference.
  bool sends_as_it_came_ = false;
};

}  // namespace splitnet::detail
