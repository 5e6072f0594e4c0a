// SPDX-License-Identifier: Apache-2.0
// Graphs, profiles and problems for the tests of cost model and planners.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/planner.hpp"

namespace splitnet::testing {

inline GraphValue float_value(std::ptrdiff_t producer, std::vector<std::size_t> consumers, std::int64_t bytes) {
  GraphValue value;
  value.producer = producer;
  value.consumers = std::move(consumers);
  value.type = "Tensor";
  value.dtype = "f32";
  value.sizes = {bytes / 4};
  value.bytes = bytes;
  return value;
}

/// Layers "0", "1", … without values.
inline LayerGraph layers_only(std::size_t count, std::int64_t parameter_bytes = 0) {
  LayerGraph graph;
  graph.fingerprint = "f00d";
  for (std::size_t i = 0; i < count; ++i) {
    Layer layer;
    layer.name = layer.module_path = std::to_string(i);
    layer.operator_name = "test::layer";
    layer.parameter_bytes = parameter_bytes;
    graph.layers.push_back(layer);
  }
  return graph;
}

/// A chain: value i goes into layer i; bytes[i] is its size, and the last of `bytes` is the result's.
inline LayerGraph chain_graph(const std::vector<std::int64_t>& bytes, std::int64_t parameter_bytes = 0) {
  const std::size_t layers = bytes.size() - 1;
  LayerGraph graph = layers_only(layers, parameter_bytes);
  for (std::size_t i = 0; i < layers; ++i) {
    graph.values.push_back(float_value(static_cast<std::ptrdiff_t>(i) - 1, {i}, bytes[i]));
  }
  graph.values.push_back(float_value(static_cast<std::ptrdiff_t>(layers) - 1, {}, bytes.back()));
  graph.values.back().is_output = true;
  return graph;
}

/// A profile with these times; the codec "half" at 1 GB/s in each direction.
inline DeviceProfile profile_of(const LayerGraph& graph, const std::vector<double>& times_s) {
  DeviceProfile profile;
  profile.fingerprint = graph.fingerprint;
  profile.machine = "test";
  profile.framework = "none";
  profile.inputs = inputs_of(graph);
  for (std::size_t i = 0; i < times_s.size(); ++i) {
    profile.layers.push_back({graph.layers[i].name, times_s[i], 0, 0});
    profile.pass_s += times_s[i];
  }
  profile.codecs = {{"half", 1e9, 1e9}};
  return profile;
}

inline Tier tier_of(const std::string& name, DeviceProfile profile) {
  Tier tier;
  tier.name = name;
  tier.profile = std::move(profile);
  return tier;
}

inline LinkProfile link_of(double bytes_per_s, double rtt_s = 0, double overhead_s = 0) {
  LinkProfile link;
  link.up_bytes_per_s = link.down_bytes_per_s = bytes_per_s;
  link.rtt_s = rtt_s;
  link.overhead_s = overhead_s;
  return link;
}

/// Of a codec profile with two codecs.
inline Refinement refinement() {
  return {"calibrated", "half", 0.5};
}

/// Random problems; the same seed gives the same ones everywhere.
class RandomProblems {
 public:
  explicit RandomProblems(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11U) * 0x1p-53;
  }
  bool one_in(std::size_t count) { return below(count) == 0; }

  /// Every layer needs one or two earlier layers or inputs; some values are results; a few order edges.
  LayerGraph dag(std::size_t layers) {
    LayerGraph graph = layers_only(layers);
    for (auto& layer : graph.layers) layer.parameter_bytes = static_cast<std::int64_t>(below(1000));
    const std::size_t inputs = 1 + below(2);
    for (std::size_t i = 0; i < inputs; ++i) graph.values.push_back(float_value(GraphValue::from_input, {}, size()));
    for (std::size_t i = 0; i < layers; ++i) {
      for (std::size_t reads = 1 + below(2); reads > 0; --reads) {
        // Mostly what was made last, so that there are chains as well as branches.
        const std::size_t known = graph.values.size();
        const std::size_t value = one_in(3) ? below(known) : known - 1 - below(std::min<std::size_t>(known, 2));
        auto& consumers = graph.values[value].consumers;
        if (consumers.empty() || consumers.back() != i) consumers.push_back(i);
      }
      for (std::size_t made = 1 + (one_in(5) ? 1 : 0); made > 0; --made) {
        auto value = float_value(static_cast<std::ptrdiff_t>(i), {}, size());
        value.is_output = i + 1 == layers || one_in(8);
        if (one_in(6)) value.dtype = "i64";
        graph.values.push_back(value);
      }
      if (i > 0 && one_in(5)) graph.order_edges.push_back({below(i), i});
    }
    return graph;
  }

  LayerGraph chain(std::size_t layers) {
    std::vector<std::int64_t> bytes;
    for (std::size_t i = 0; i <= layers; ++i) bytes.push_back(size());
    LayerGraph graph = chain_graph(bytes);
    for (auto& layer : graph.layers) layer.parameter_bytes = static_cast<std::int64_t>(below(1000));
    return graph;
  }

  PlanningProblem problem(LayerGraph graph, std::size_t tiers) {
    PlanningProblem problem;
    problem.graph = std::move(graph);
    for (std::size_t i = 0; i < tiers; ++i) problem.tiers.push_back(tier(problem.graph, i));
    for (std::size_t i = 0; i + 1 < tiers; ++i) {
      problem.links.emplace_back();
      for (std::size_t j = i + 1; j < tiers; ++j) {
        problem.links.back().push_back(tiers > 2 && one_in(6) ? std::nullopt : std::optional(link()));
      }
    }
    problem.codecs = {CodecProfile{}, {"half", 0.5, between(0, 0.02), false}};
    for (std::size_t layers = below(3); layers < problem.graph.layers.size(); layers += 1 + below(6)) {
      LayerSet head(layers);  // A profile for this cut.
      std::iota(head.begin(), head.end(), std::size_t{0});
      problem.codecs.push_back({"calibrated", between(0.05, 0.9), between(0, 0.02), false, std::move(head)});
    }
    if (tiers == 2 && one_in(2)) {
      LayerSet head(below(problem.graph.layers.size()));
      std::iota(head.begin(), head.end(), std::size_t{0});
      problem.codecs.push_back({refinement().name(), between(0.05, 0.5), between(0, 0.01), false, std::move(head)});
      problem.codecs.back().refinement = refinement();
      problem.codecs.back().refined_share = between(0, 0.5);
    }
    if (one_in(3)) {
      problem.codecs.push_back({"file", between(0.01, 0.3), 0, true, LayerSet{}});
      problem.codecs.back().inputs_arrive = true;
    }
    problem.power = {between(1, 5), between(0.5, 3), between(0, 1)};
    add_leakages(problem);
    return problem;
  }

  /// Bounds that some plans break: near to what a random plan of the problem costs.
  Constraints constraints(const Cost& near) {
    Constraints constraints;
    const auto bound = [&](double value) { return value * between(0.7, 1.3); };
    if (one_in(2)) constraints.max_latency_s = bound(near.latency_s);
    if (one_in(3)) constraints.max_period_s = bound(near.period_s);
    if (one_in(3)) constraints.max_energy_joule = bound(near.energy_joule);
    if (one_in(3)) constraints.max_dollars = bound(near.dollars);
    if (one_in(4)) constraints.max_accuracy_loss = between(0, 0.03);
    if (one_in(4)) constraints.min_head_layers = below(4);
    if (one_in(4)) constraints.max_leakage_psnr_db = between(15, 45);
    return constraints;
  }

 private:
  /// Of some codecs behind what some layers need, which need not be sequential.
  void add_leakages(PlanningProblem& problem) {
    const auto& graph = problem.graph;
    for (std::size_t last = 0; last + 1 < graph.layers.size(); ++last) {
      std::vector<bool> in_head(graph.layers.size(), false);
      in_head[last] = true;
      LayerSet head;
      for (std::size_t i = last + 1; i-- > 0;) {
        if (!in_head[i]) continue;
        head.insert(head.begin(), i);
        for (const std::size_t before : graph.predecessors(i)) in_head[before] = true;
      }
      const auto add = [&](LeakageProfile leakage) {
        const bool is_known = std::any_of(problem.leakages.begin(), problem.leakages.end(), [&](const auto& known) {
          return known.head == leakage.head && known.codec == leakage.codec;
        });
        if (!is_known) problem.leakages.push_back(std::move(leakage));
      };
      for (const CodecProfile& codec : problem.codecs) {
        if (!one_in(3)) add({head, codec.name, between(10, 50)});
      }
      head.resize(last + 1);
      std::iota(head.begin(), head.end(), std::size_t{0});
      if (one_in(2)) add({std::move(head), "raw", between(10, 50)});
    }
    if (one_in(4)) problem.leakages.push_back({{}, "half", 12});  // The input itself: of no use.
  }

  std::int64_t size() { return static_cast<std::int64_t>(4 + 4 * below(5000)); }

  Tier tier(const LayerGraph& graph, std::size_t index) {
    DeviceProfile profile = profile_of(graph, {});
    for (const Layer& layer : graph.layers) {
      const double time_s = between(0.1e-3, 3e-3) / static_cast<double>(1 + index * 2);
      profile.layers.push_back({layer.name, time_s, 0, static_cast<std::int64_t>(below(2000))});
      profile.pass_s += time_s;
    }
    profile.stage_overhead_s = between(0, 1e-4);
    profile.codecs = {{"half", between(1e6, 1e8), between(1e6, 1e8)},
                      {"calibrated", between(1e6, 1e8), between(1e6, 1e8)},
                      {"file", between(1e6, 1e7), between(1e6, 1e7)},
                      {refinement().name(), between(1e6, 1e8), between(1e6, 1e8)}};
    Tier tier = tier_of("tier " + std::to_string(index), std::move(profile));
    tier.load_factor = between(0.8, 2);
    if (one_in(4)) tier.memory_bytes = static_cast<std::int64_t>(1000 + below(9000));
    if (index == 0) return tier;
    tier.price = {between(0, 1e-6), between(1e-5, 2e-5), between(0.5, 2), 1e-3, one_in(2) ? 9e-11 : 0};
    tier.cold_start_probability = one_in(3) ? between(0, 0.01) : 0;
    tier.cold_start_s = between(0, 1);
    tier.price.billed_overhead_s = one_in(2) ? between(0, 5e-3) : 0;
    tier.price.billed_s_per_byte = one_in(2) ? between(0, 1e-6) : 0;
    if (one_in(2)) tier.cold_start_billed_s = between(0, tier.cold_start_s);
    tier.queue_wait_s = one_in(3) ? between(0, 1e-3) : 0;
    return tier;
  }

  LinkProfile link() {
    LinkProfile link;
    link.rtt_s = between(0, 2e-3);
    link.overhead_s = between(0, 2e-4);
    link.up_bytes_per_s = between(1e6, 5e7);
    link.down_bytes_per_s = between(1e6, 5e7);
    return link;
  }

  std::mt19937_64 random_;
};

}  // namespace splitnet::testing
