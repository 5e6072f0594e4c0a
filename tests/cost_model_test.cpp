// SPDX-License-Identifier: Apache-2.0
#include "splitnet/cost_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "boundary.hpp"
#include "error_of.hpp"
#include "planning_samples.hpp"

namespace splitnet {
namespace {

using testing::throws;

/// input(1000 B) → 0 → (400 B) → 1 → (200 B, a result) → 2 → (100 B, a result), and layer 2 reads value 1 as well.
PlanningProblem example() {
  LayerGraph graph = testing::chain_graph({1000, 400, 200, 100}, 50);
  graph.values[1].consumers = {1, 2};
  graph.values[2].is_output = true;
  DeviceProfile device = testing::profile_of(graph, {10e-3, 20e-3, 30e-3});
  DeviceProfile worker = testing::profile_of(graph, {1e-3, 2e-3, 3e-3});
  device.stage_overhead_s = 0.5e-3;
  worker.stage_overhead_s = 0.1e-3;
  device.layers[0].peak_bytes = 1400;
  device.layers[1].peak_bytes = 1000;
  device.codecs = {{"half", 1e6, 2e6}};
  worker.codecs = {{"half", 4e6, 5e6}};
  Tier there = testing::tier_of("worker", worker);
  there.load_factor = 2;
  there.price = {1e-6, 2e-5, 0.5, 1e-3, 1e-9};
  there.cold_start_probability = 0.1;
  there.cold_start_s = 0.5;
  there.cold_start_billed_s = 0;
  there.queue_wait_s = 2e-3;
  LinkProfile link = testing::link_of(1e5, 4e-3, 1e-3);
  link.down_bytes_per_s = 2e5;
  auto problem = PlanningProblem::two_tier(graph, testing::tier_of("device", device), there, link);
  problem.codecs.push_back({"half", 0.5, 0.01, false});
  problem.power = {4, 2, 1};
  return problem;
}

TEST(CostOf, HasEveryTermOfATwoTierPlan) {
  const Cost cost = cost_of(example(), {{0, 1}, {{0, 1}}, {"half"}});
  // What crosses: value 1 (400 B, read by layer 2) and value 2 (200 B); the first result stays on the device.
  const HopCost& hop = cost.hops.at(0);
  EXPECT_EQ(hop.raw_bytes, 600);
  EXPECT_DOUBLE_EQ(hop.bytes_up, 300);
  EXPECT_DOUBLE_EQ(hop.bytes_down, 100);
  EXPECT_DOUBLE_EQ(hop.encode_s, 600 / 1e6);
  EXPECT_DOUBLE_EQ(hop.decode_s, 2 * 600 / 5e6);
  EXPECT_DOUBLE_EQ(hop.up_s, 300 / 1e5);
  EXPECT_DOUBLE_EQ(hop.down_s, 100 / 2e5);
  EXPECT_DOUBLE_EQ(hop.rtt_s, 4e-3);
  EXPECT_DOUBLE_EQ(hop.overhead_s, 1e-3);
  EXPECT_DOUBLE_EQ(cost.stages.at(0).compute_s, 30.5e-3);
  EXPECT_DOUBLE_EQ(cost.stages.at(1).compute_s, 2 * 3.1e-3);
  EXPECT_EQ(cost.stages.at(0).memory_bytes, 2 * 50 + 1400);
  EXPECT_DOUBLE_EQ(cost.start_s, 0.05 + 2e-3);
  const double latency = 30.5e-3 + 6.2e-3 + 0.6e-3 + 0.24e-3 + 3e-3 + 0.5e-3 + 5e-3 + 52e-3;
  EXPECT_NEAR(cost.latency_s, latency, 1e-12);
  EXPECT_NEAR(cost.period_s, 31.1e-3, 1e-12);
  EXPECT_NEAR(cost.energy_joule, 4 * 31.1e-3 + 2 * 3e-3 + 1 * (latency - 31.1e-3 - 3e-3), 1e-12);
  EXPECT_NEAR(cost.dollars, 1e-6 + 7e-3 * 0.5 * 2e-5 + 100e-9, 1e-15) << "6.2 ms and 0.24 for decoding are billed as 7";
  EXPECT_DOUBLE_EQ(cost.accuracy_loss, 0.01);
}

TEST(CostOf, BillsTheStartAndWhatIsBesideComputing) {
  // As AWS's own log has it: Duration 1049.63 ms, Init Duration 1293.83 ms, Billed Duration 2344 ms.
  PlanningProblem problem = example();
  problem.tiers[1].profile.layers[2].time_s = 0.4;
  Tier& there = problem.tiers[1];
  there.load_factor = 1;
  there.price = {2e-7, 1.5e-5, 0.5, 1e-3, 0};
  struct Row {
    double overhead_s, cold_probability, cold_s;
    std::optional<double> cold_billed_s;
    double billed_s;  // By hand; the stage computes 400.1 ms.
  };
  const Row rows[] = {
      {0, 0, 0.5, {}, 0.401},
      {0.6495, 0, 0.5, 1.29383, 1.050},         // 1,049.6 ms
      {0.6495, 1, 1.5, 1.29383, 2.344},         // 2,343.43 ms: rounded once
      {0.6495, 1, 1.5, {}, 2.550},              // 2,549.6 ms: all of the start
      {0.6495, 1, 1.5, 0.0, 1.050},             // a start that is not billed
      {0.0005, 0.25, 0.5, 0.3, 0.401 + 0.075},  // 400.6 and 700.6 ms
  };
  for (const Row& row : rows) {
    there.price.billed_overhead_s = row.overhead_s;
    there.cold_start_probability = row.cold_probability;
    there.cold_start_s = row.cold_s;
    there.cold_start_billed_s = row.cold_billed_s;
    problem.validate();
    const Cost cost = cost_of(problem, {{0, 1}, {{0, 1}}, {"raw"}});
    EXPECT_NEAR(cost.dollars, 2e-7 + row.billed_s * 0.5 * 1.5e-5, 1e-13) << row.billed_s;
    EXPECT_DOUBLE_EQ(cost.start_s, row.cold_probability * row.cold_s + 2e-3)
        << "what is billed takes no time of its own";
  }
}

TEST(CostOf, BillsTheBytesThatATierIsSentAndItsCodecs) {
  PlanningProblem problem = example();
  Tier& there = problem.tiers[1];
  there.cold_start_probability = 0;
  there.price.billed_s_per_byte = 1e-5;
  const auto billed_s = [&](const std::string& codec) {
    const Cost cost = cost_of(problem, {{0, 1}, {{0, 1}}, {codec}});
    return (cost.dollars - 1e-6 - 100e-9) / (0.5 * 2e-5);
  };
  EXPECT_NEAR(billed_s("half"), 10e-3, 1e-9) << "6.2 ms, 0.24 for decoding and 300 bytes: 9.44";
  EXPECT_NEAR(billed_s("raw"), 13e-3, 1e-9) << "6.2 ms and 600 bytes: 12.2";

  problem.tiers.push_back(there);  // It sends two thirds of the way on: what it encodes for that, it is billed for.
  problem.links = {{problem.link(0, 1), {}}, {problem.link(0, 1)}};
  problem.tiers[2].price = {};
  problem.tiers[1].profile.codecs = {{"half", 600 / 4e-3, 5e6}};
  const Cost cost = cost_of(problem, {{0, 1, 2}, {{0}, {0, 1}}, {"half", "half"}});
  // Layer 1 with the overhead 4.2 ms, 400 bytes decoded 0.16, 200 that came 2, 600 encoded 8.
  EXPECT_NEAR(cost.dollars, 1e-6 + 15e-3 * 0.5 * 2e-5 + 300e-9, 1e-12);
}

TEST(CostOf, ASecondRequestIsNeverCold) {
  PlanningProblem problem = example();
  const Refinement refinement = testing::refinement();
  for (Tier& tier : problem.tiers) tier.profile.codecs.push_back({refinement.name(), 1e6, 1e6});
  problem.codecs.push_back({refinement.name(), 0.5, 0.01, false, LayerSet{0, 1}});
  problem.codecs.back().refinement = refinement;
  problem.codecs.back().refined_share = 1;
  problem.tiers[1].cold_start_probability = 1;
  problem.tiers[1].cold_start_billed_s = 0.2;
  const Cost cost = cost_of(problem, {{0, 1}, {{0, 1}}, {refinement.name()}});
  EXPECT_NEAR(cost.dollars, 2 * 1e-6 + (0.207 + 0.007) * 0.5 * 2e-5 + 2 * 100e-9, 1e-15);
}

TEST(CostOf, CloseAnswersTakeASecondRequest) {
  PlanningProblem problem = example();
  const Refinement refinement = testing::refinement();
  for (Tier& tier : problem.tiers) tier.profile.codecs.push_back({refinement.name(), 1e6, 1e6});
  problem.codecs.push_back({refinement.name(), 0.5, 0.01, false, LayerSet{0, 1}});
  problem.codecs.back().refinement = refinement;
  problem.codecs.back().refined_share = 0.25;
  const Cost cost = cost_of(problem, {{0, 1}, {{0, 1}}, {refinement.name()}});
  const HopCost& hop = cost.hops.at(0);
  EXPECT_DOUBLE_EQ(hop.bytes_up, 300) << "the ratio counts both";
  EXPECT_DOUBLE_EQ(hop.encode_s, 600 / 1e6);
  EXPECT_DOUBLE_EQ(hop.rtt_s, 1.25 * 4e-3);
  EXPECT_DOUBLE_EQ(hop.overhead_s, 1.25 * 1e-3);
  EXPECT_DOUBLE_EQ(hop.bytes_down, 1.25 * 100);
  EXPECT_DOUBLE_EQ(hop.down_s, 1.25 * 100 / 2e5);
  EXPECT_DOUBLE_EQ(cost.stages.at(0).compute_s, 30.5e-3);
  EXPECT_DOUBLE_EQ(cost.stages.at(1).compute_s, 1.25 * 2 * 3.1e-3);
  EXPECT_NEAR(cost.dollars, 1.25 * (1e-6 + 8e-3 * 0.5 * 2e-5 + 100e-9), 1e-15)
      << "6.2 ms each, and of the 1.2 for decoding 0.96";

  const auto refused = [&](const char* message, auto&& change) {
    PlanningProblem wrong = problem;
    change(wrong.codecs.back());
    EXPECT_TRUE(testing::throws(ErrorCode::invalid_argument, message, [&] { wrong.validate(); })) << message;
  };
  refused("refined_share is 1.5, expected 0 … 1", [](auto& codec) { codec.refined_share = 1.5; });
  refused("expected 0 without a refinement", [](auto& codec) { codec.refinement.reset(); });
  refused("expected the name", [](auto& codec) { codec.refinement->min_margin_nat = 1; });
  refused("needs the cut", [](auto& codec) { codec.head.reset(); });
}

TEST(CostOf, DeviceOnlySendsNothing) {
  const Cost cost = cost_of(example(), {});
  EXPECT_TRUE(cost.hops.empty());
  EXPECT_DOUBLE_EQ(cost.latency_s, 60.5e-3);
  EXPECT_DOUBLE_EQ(cost.dollars, 0);
  EXPECT_DOUBLE_EQ(cost.energy_joule, 4 * 60.5e-3);
}

TEST(CostOf, WorkerOnlySendsTheInputAndGetsAllResults) {
  const Cost cost = cost_of(example(), {{0, 1}, {{}}, {"raw"}});
  EXPECT_EQ(cost.hops.at(0).raw_bytes, 1000);
  EXPECT_DOUBLE_EQ(cost.hops.at(0).bytes_down, 300);
  EXPECT_DOUBLE_EQ(cost.stages.at(0).compute_s, 0) << "no layers, no overhead";
}

/// As the example, with inputs that arrive encoded.
PlanningProblem encoded_example() {
  auto problem = example();
  problem.tiers[0].profile.codecs.push_back({"file", 1e3, 5e5});
  problem.tiers[1].profile.codecs.push_back({"file", 1e3, 1e6});
  problem.codecs.push_back({"file", 0.05, 0, true, LayerSet{}});
  problem.codecs.back().inputs_arrive = true;
  return problem;
}

TEST(CostOf, WhatArrivesEncodedIsSentForNothing) {
  const Cost cost = cost_of(encoded_example(), {{0, 1}, {{}}, {"file"}});
  EXPECT_EQ(cost.hops.at(0).encode_s, 0);
  EXPECT_DOUBLE_EQ(cost.hops.at(0).bytes_up, 50);
  EXPECT_DOUBLE_EQ(cost.hops.at(0).decode_s, 2 * 1000 / 1e6);
  EXPECT_EQ(cost.stages.at(0).input_decode_s, 0);
  EXPECT_EQ(cost.stages.at(0).busy_s, 0);
}

TEST(CostOf, WhatArrivesEncodedIsDecodedForAllElse) {
  auto problem = encoded_example();
  problem.tiers[0].load_factor = 3;
  const double decode_s = 3 * 1000 / 5e5;
  auto plain = example();
  plain.tiers[0].load_factor = 3;
  for (const Assignment& assignment :
       {Assignment{}, Assignment{{0, 1}, {{}}, {"raw"}}, Assignment{{0, 1}, {{0, 1}}, {"half"}}}) {
    const Cost cost = cost_of(problem, assignment);
    const Cost without = cost_of(plain, assignment);
    EXPECT_DOUBLE_EQ(cost.stages.at(0).input_decode_s, decode_s);
    EXPECT_DOUBLE_EQ(cost.stages.at(0).compute_s, without.stages.at(0).compute_s);
    EXPECT_NEAR(cost.stages.at(0).busy_s, without.stages.at(0).busy_s + decode_s, 1e-12);
    EXPECT_NEAR(cost.latency_s, without.latency_s + decode_s, 1e-12);
    EXPECT_NEAR(cost.energy_joule, without.energy_joule + 4 * decode_s, 1e-12);
    EXPECT_EQ(cost.hops, without.hops);
  }
}

TEST(CostOf, WhatArrivesEncodedArrivesOnTheDevice) {
  auto problem = encoded_example();
  problem.tiers.push_back(problem.tiers.back());
  problem.links = {{testing::link_of(1e5), std::nullopt}, {testing::link_of(1e6)}};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "for inputs as they arrive", [&] {
    (void)cost_of(problem, {{0, 1, 2}, {{}, {}}, {"file", "file"}});
  }));
  EXPECT_NO_THROW((void)cost_of(problem, {{0, 1, 2}, {{}, {}}, {"file", "raw"}}));
}

TEST(PlanningProblem, TakesOneFormInWhichInputsArrive) {
  const auto refused = [](const char* words, auto&& change) {
    auto problem = encoded_example();
    change(problem.codecs);
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, words, [&] { problem.validate(); })) << words;
  };
  EXPECT_NO_THROW(encoded_example().validate());
  refused("needs no saying", [](auto& codecs) { codecs.front().inputs_arrive = true; });
  refused("a head without layers is missing", [](auto& codecs) { codecs.back().head.reset(); });
  refused("only_inputs", [](auto& codecs) { codecs.back().only_inputs = false; });
  refused("and in file as well", [](auto& codecs) {
    codecs.push_back(codecs.back());
    codecs.back().name = "more";
  });
}

TEST(CostOf, ResultsComeBackOverEveryHop) {
  auto problem = example();
  problem.tiers.push_back(problem.tiers.back());
  problem.links = {{testing::link_of(1e5), std::nullopt}, {testing::link_of(1e6)}};
  const Cost cost = cost_of(problem, {{0, 1, 2}, {{0}, {0, 1}}, {"raw", "raw"}});
  EXPECT_DOUBLE_EQ(cost.hops.at(0).bytes_down, 300) << "both results are made behind the first hop";
  EXPECT_DOUBLE_EQ(cost.hops.at(1).bytes_down, 100);
  EXPECT_EQ(cost.hops.at(0).raw_bytes, 400);
  EXPECT_EQ(cost.hops.at(1).raw_bytes, 600) << "value 1 passes through tier 1";
  EXPECT_DOUBLE_EQ(cost.start_s, 2 * 52e-3);
}

TEST(CostOf, RefusesWhatIsNoAssignment) {
  const auto problem = example();
  const auto refuses = [&](const char* words, const Assignment& assignment) {
    return throws(ErrorCode::invalid_argument, words, [&] { (void)cost_of(problem, assignment); });
  };
  EXPECT_TRUE(refuses("the device", {{1}, {}, {}}));
  EXPECT_TRUE(refuses("ascending", {{0, 2}, {{0}}, {"raw"}}));
  EXPECT_TRUE(refuses("one less", {{0, 1}, {{0}}, {}}));
  EXPECT_TRUE(refuses("unknown codec 'zip'", {{0, 1}, {{0}}, {"zip"}}));
  EXPECT_TRUE(refuses("1", {{0, 1}, {{1}}, {"raw"}})) << "not closed";
  auto apart = problem;
  apart.links[0][0].reset();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "no link", [&] { (void)cost_of(apart, {{0, 1}, {{0}}, {"raw"}}); }));
}

TEST(CostOf, ACodecForInputsIsRefusedElsewhere) {
  auto problem = example();
  problem.codecs.push_back({"u8", 0.25, 0, true});
  for (Tier& tier : problem.tiers) tier.profile.codecs.push_back({"u8", 1e9, 1e9});
  problem.validate();
  EXPECT_DOUBLE_EQ(cost_of(problem, {{0, 1}, {{}}, {"u8"}}).hops.at(0).bytes_up, 250);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "for inputs only", [&] {
    (void)cost_of(problem, {{0, 1}, {{0}}, {"u8"}});
  }));
}

TEST(PlanningProblem, NamesTheFieldThatIsWrong) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto refuses = [](const char* words, const auto& spoil, ErrorCode code = ErrorCode::invalid_argument) {
    auto problem = example();
    spoil(problem);
    return throws(code, words, [&] { problem.validate(); });
  };
  EXPECT_NO_THROW(example().validate());
  EXPECT_TRUE(refuses("no tiers", [](auto& p) { p.tiers.clear(); }));
  EXPECT_TRUE(refuses("load_factor", [](auto& p) { p.tiers[0].load_factor = 0; }));
  EXPECT_TRUE(refuses("tier 1 (worker)", [&](auto& p) { p.tiers[1].queue_wait_s = infinity; }));
  EXPECT_TRUE(refuses("billing_unit_s", [](auto& p) { p.tiers[1].price.billing_unit_s = 0; }));
  EXPECT_TRUE(refuses("billed_overhead_s", [](auto& p) { p.tiers[1].price.billed_overhead_s = -1; }));
  EXPECT_TRUE(refuses("billed_s_per_byte", [](auto& p) { p.tiers[1].price.billed_s_per_byte = NAN; }));
  EXPECT_TRUE(refuses("cold_start_billed_s", [&](auto& p) { p.tiers[1].cold_start_billed_s = infinity; }));
  EXPECT_TRUE(refuses("cold_start_probability", [](auto& p) { p.tiers[1].cold_start_probability = 1.5; }));
  EXPECT_TRUE(refuses("memory_bytes", [](auto& p) { p.tiers[1].memory_bytes = -1; }));
  EXPECT_TRUE(refuses("up_bytes_per_s", [](auto& p) { p.links[0][0]->up_bytes_per_s = 0; }));
  EXPECT_TRUE(refuses("links", [](auto& p) { p.links.clear(); }));
  EXPECT_TRUE(refuses("raw is not among them", [](auto& p) { p.codecs.erase(p.codecs.begin()); }));
  EXPECT_TRUE(refuses("ratio", [](auto& p) { p.codecs[1].ratio = 0; }));
  EXPECT_TRUE(refuses("not sorted", [](auto& p) { p.leakages = {{{1, 0}, "raw", 20}}; }));
  EXPECT_TRUE(refuses("psnr_db is nan", [](auto& p) { p.leakages = {{{0}, "raw", std::nan("")}}; }));
  EXPECT_TRUE(refuses("given twice", [](auto& p) { p.leakages = {{{0}, "raw", 20}, {{0}, "raw", 30}}; }));
  EXPECT_TRUE(refuses("how fast", [](auto& p) { p.tiers[1].profile.codecs.clear(); }));
  EXPECT_TRUE(refuses("compute_watt", [](auto& p) { p.power.compute_watt = -1; }));
  EXPECT_TRUE(refuses("time_s", [](auto& p) { p.tiers[0].profile.layers[1].time_s = -1; }));
  EXPECT_TRUE(refuses(
      "fingerprint", [](auto& p) { p.tiers[1].profile.fingerprint = "other"; }, ErrorCode::incompatible));
}

TEST(Boundary, TheSequentialOnesAreThoseOfEachHead) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    testing::RandomProblems random(seed);
    const LayerGraph graph = random.dag(2 + random.below(20));
    const auto boundaries = detail::sequential_boundaries(graph);
    ASSERT_EQ(boundaries.size(), graph.layers.size() + 1);
    std::vector<bool> in_head(graph.layers.size(), false);
    for (std::size_t i = 0; i < boundaries.size(); ++i) {
      const auto expected = detail::boundary_of(graph, in_head);
      EXPECT_EQ(boundaries[i].raw_bytes, expected.raw_bytes);
      EXPECT_EQ(boundaries[i].float_bytes, expected.float_bytes);
      EXPECT_EQ(boundaries[i].down_bytes, expected.down_bytes);
      EXPECT_EQ(boundaries[i].only_inputs, expected.only_inputs);
      EXPECT_EQ(boundaries[i].has_inputs, expected.has_inputs);
      if (i < in_head.size()) in_head[i] = true;
    }
  }
}

}  // namespace
}  // namespace splitnet
