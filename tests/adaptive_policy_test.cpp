// SPDX-License-Identifier: Apache-2.0
#include "splitnet/adaptive_policy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "error_of.hpp"
#include "planning_samples.hpp"

namespace splitnet {
namespace {

using testing::link_of;
using testing::throws;

constexpr std::size_t device_only = 3;

/// Three layers, 100 ms on the device and 20 ms on the worker; behind the second one 20 KB cross.
PlanningProblem problem(const LinkProfile& link) {
  const LayerGraph graph = testing::chain_graph({150'000, 100'000, 20'000, 4'000});
  return PlanningProblem::two_tier(graph, testing::tier_of("device", testing::profile_of(graph, {0.020, 0.020, 0.060})),
                                   testing::tier_of("worker", testing::profile_of(graph, {0.005, 0.005, 0.010})), link);
}

/// A session with a real link and a real worker.
class World {
 public:
  World(AdaptivePolicy& policy, const LinkProfile& link) : policy_(policy), real_(problem(link)) {}

  void set_link(const LinkProfile& link) { real_.links[0][0] = link; }
  void set_worker_load(double factor) { real_.tiers[1].load_factor = factor; }
  /// One inference after a pause of `pause_s`; the number of layers on the device.
  std::size_t infer(double pause_s = 0.1) {
    now_s_ += pause_s;
    Situation situation;
    situation.now_s = now_s_;
    decision_ = policy_.decide(situation);
    Outcome outcome;
    outcome.head_layers = decision_.choice.head_layers;
    Assignment assignment;
    if (outcome.head_layers < device_only) {
      LayerSet head;
      for (std::size_t i = 0; i < outcome.head_layers; ++i) head.push_back(i);
      assignment = {{0, 1}, {head}, {"raw"}};
    }
    const Cost cost = cost_of(real_, assignment);
    outcome.head_s = cost.stages[0].compute_s;
    if (!cost.hops.empty()) {
      outcome.tail_s = cost.stages[1].compute_s;
      outcome.bytes_up = cost.hops[0].bytes_up;
      outcome.bytes_down = cost.hops[0].bytes_down;
      outcome.transport_s = cost.hops[0].overhead_s + cost.hops[0].rtt_s + cost.hops[0].up_s + cost.hops[0].down_s;
    }
    now_s_ += cost.latency_s;
    outcome.ended_s = now_s_;
    policy_.learn(outcome);
    return outcome.head_layers;
  }
  [[nodiscard]] const Decision& decision() const { return decision_; }
  [[nodiscard]] double now_s() const { return now_s_; }

 private:
  AdaptivePolicy& policy_;
  PlanningProblem real_;
  Decision decision_;
  double now_s_ = 0;
};

/// Of the last of so many inferences.
std::size_t after(World& world, int inferences) {
  std::size_t head = 0;
  for (int i = 0; i < inferences; ++i) head = world.infer();
  return head;
}

TEST(AdaptivePolicy, FollowsTheLink) {
  const LinkProfile middling = link_of(2e6, 0.01);
  AdaptivePolicy policy(problem(middling), Objective::latency);
  World world(policy, middling);
  EXPECT_EQ(after(world, 5), 2U);
  world.set_link(link_of(20e6, 0.01));
  EXPECT_EQ(after(world, 20), 0U);
  world.set_link(link_of(0.1e6, 0.01));
  EXPECT_EQ(after(world, 20), device_only);
}

TEST(AdaptivePolicy, FollowsTheLoadOfTheWorker) {
  const LinkProfile fast = link_of(20e6, 0.005);
  AdaptivePolicy policy(problem(fast), Objective::latency);
  World world(policy, fast);
  EXPECT_EQ(after(world, 5), 0U);
  world.set_worker_load(6);
  EXPECT_EQ(after(world, 20), device_only);
  EXPECT_GT(policy.conditions(world.now_s()).worker_load_factor, 3);
}

TEST(AdaptivePolicy, ReturnsToAWorkerThatHadTooMuchToDo) {
  const LinkProfile fast = link_of(20e6, 0.005);
  AdaptivePolicy policy(problem(fast), Objective::latency);
  World world(policy, fast);
  world.set_worker_load(20);
  EXPECT_EQ(after(world, 20), device_only);
  int tries = 0;
  for (const double until_s = world.now_s() + 100; world.now_s() < until_s;) {
    world.infer();
    if (world.decision().reason != Reason::worker_tried) continue;
    ++tries;
    EXPECT_EQ(world.decision().hedge_after_s, 0) << "the device computes it all the same";
  }
  EXPECT_GE(tries, 3);
  EXPECT_LE(tries, 10) << "in 100 s";
  world.set_worker_load(1);
  const double begun_s = world.now_s();
  while (world.infer() == device_only || world.decision().reason == Reason::worker_tried) {
    ASSERT_LT(world.now_s(), begun_s + 40);
  }
  EXPECT_EQ(world.decision().reason, Reason::switched);
}

TEST(AdaptivePolicy, DoesNotSwitchForLittle) {
  // Where two plans are equally good: device only, and 20 KB behind the second layer.
  const LinkProfile even = link_of(24e3 / 0.040, 0.010);
  AdaptivePolicy policy(problem(even), Objective::latency);
  World world(policy, even);
  int switches = 0;
  for (int i = 0; i < 100; ++i) {
    world.set_link(link_of((i % 2 == 0 ? 1.05 : 0.95) * 24e3 / 0.040, 0.010));
    world.infer();
    switches += world.decision().reason == Reason::switched ? 1 : 0;
  }
  EXPECT_LE(switches, 2);
}

TEST(AdaptivePolicy, StaysOnTheDeviceWhileTheWorkerIsMissing) {
  const LinkProfile fast = link_of(20e6, 0.005);
  AdaptivePolicy policy(problem(fast), Objective::latency);
  Situation situation;
  situation.worker_answers = false;
  const Decision decision = policy.decide(situation);
  EXPECT_EQ(decision.choice.head_layers, device_only);
  EXPECT_EQ(decision.reason, Reason::worker_missing);
  EXPECT_NEAR(decision.choice.value, 0.100, 0.005);
  situation.worker_answers = true;
  EXPECT_EQ(policy.decide(situation).choice.head_layers, 0U);
}

TEST(AdaptivePolicy, AsksALinkThatItDoesNotUse) {
  const LinkProfile slow = link_of(0.3e6, 0.01);
  AdaptivePolicy policy(problem(slow), Objective::latency);
  World world(policy, slow);
  EXPECT_EQ(world.infer(), device_only);
  EXPECT_EQ(world.decision().probe_bytes, 0U) << "too early";
  double last_s = 0;
  double longest_gap_s = 0;
  int probes = 0;
  for (int i = 0; i < 500; ++i) {
    EXPECT_EQ(world.infer(), device_only);
    if (world.decision().probe_bytes == 0) continue;
    ++probes;
    longest_gap_s = std::max(longest_gap_s, world.now_s() - last_s);
    last_s = world.now_s();
    const auto bytes = static_cast<double>(world.decision().probe_bytes);
    Outcome outcome;
    outcome.ended_s = world.now_s();
    outcome.head_layers = device_only;
    outcome.bytes_up = bytes;
    outcome.transport_s = slow.rtt_s + bytes / slow.up_bytes_per_s;
    policy.learn(outcome);
  }
  EXPECT_GE(probes, 3);
  EXPECT_LE(probes, 12) << "in 100 s";
  EXPECT_GT(longest_gap_s, 15);
}

TEST(AdaptivePolicy, ComesBackAfterAStall) {
  const LinkProfile fast = link_of(2e6, 0.02);
  AdaptivePolicy policy(problem(fast), Objective::latency);
  World world(policy, fast);
  for (int i = 0; i < 40; ++i) ASSERT_LT(world.infer(), device_only);
  for (const double slower : {50.0, 200.0}) {
    world.set_link(link_of(2e6 / slower, 0.02));
    (void)world.infer();
    world.set_link(fast);
    int here = 0;
    for (int i = 0; i < 100; ++i) here += world.infer() == device_only ? 1 : 0;
    EXPECT_LT(here, 30) << "of 100, after one that took " << slower << " times as long";
  }
}

TEST(AdaptivePolicy, ComesBackAfterAStallOfAWire) {
  const LinkProfile wire = link_of(1e9, 0.0002);
  AdaptivePolicy policy(problem(wire), Objective::latency);
  World world(policy, wire);
  EXPECT_EQ(after(world, 40), 0U);
  world.set_link(link_of(1e9, 0.6));
  EXPECT_EQ(after(world, 5), device_only) << "hardly any of that time is for bytes";
  world.set_link(wire);
  for (const double until_s = world.now_s() + 10; world.infer() == device_only;) ASSERT_LT(world.now_s(), until_s);
  EXPECT_EQ(after(world, 20), 0U);
}

TEST(AdaptivePolicy, AsksNothingWhenNoAnswerCouldMatter) {
  const LinkProfile far = link_of(1e6, 0.5);
  AdaptivePolicy policy(problem(far), Objective::latency);
  World world(policy, far);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(world.infer(), device_only);
    EXPECT_EQ(world.decision().probe_bytes, 0U);
  }
}

/// What was seen long ago counts for little, and no doubt grows without end.
TEST(AdaptivePolicy, ReturnsToAWorkerThatWasBusyLongAgo) {
  const LinkProfile fast = link_of(20e6, 0.005);
  AdaptivePolicy policy(problem(fast), Objective::latency);
  World world(policy, fast);
  world.set_worker_load(20);
  EXPECT_EQ(after(world, 20), device_only);
  world.set_worker_load(1);
  (void)world.infer(300);
  EXPECT_EQ(after(world, 5), 0U);
  for (const double pause_s : {3600.0, 1e7}) {
    EXPECT_EQ(world.infer(pause_s), 0U);
    const auto conditions = policy.conditions(world.now_s() + pause_s);
    EXPECT_LT(conditions.device_load_factor, 1.3);
    EXPECT_LT(conditions.worker_load_factor, 1.3);
    EXPECT_LT(conditions.link.rtt_s, 2 * fast.rtt_s);
    EXPECT_GT(conditions.link.up_bytes_per_s, fast.up_bytes_per_s / 5);
  }
}

/// Where neither is clearly faster, the device loses nothing when a worker is asked too.
TEST(AdaptivePolicy, RacesWhereTheWorkerMayBeFaster) {
  const LinkProfile close = link_of(24e3 / 0.055, 0.010);
  AdaptivePolicy policy(problem(close), Objective::latency);
  Situation situation;
  const Decision raced = policy.decide(situation);
  EXPECT_EQ(raced.reason, Reason::raced);
  EXPECT_LT(raced.choice.head_layers, device_only);
  EXPECT_EQ(raced.hedge_after_s, 0);
  EXPECT_LT(raced.choice.value, 0.100);
  situation.in_flight = 1;
  EXPECT_EQ(policy.decide(situation).choice.head_layers, device_only) << "others need the device";
  situation = {};
  situation.bytes_under_way = 1;
  EXPECT_EQ(policy.decide(situation).choice.head_layers, device_only) << "it would stand behind what is under way";
  situation = {};
  situation.device_may_finish = false;
  EXPECT_EQ(policy.decide(situation).choice.head_layers, device_only) << "there would be no race";
  Constraints frugal;
  frugal.max_energy_joule = 1000;
  EXPECT_EQ(AdaptivePolicy(problem(close), Objective::latency, frugal).decide({}).choice.head_layers, device_only);
  AdaptiveOptions never;
  never.race_gain = 1;
  EXPECT_EQ(AdaptivePolicy(problem(close), Objective::latency, {}, {}, never).decide({}).choice.head_layers,
            device_only);
}

TEST(AdaptivePolicy, LeavesAPlanThatBreaksTheConstraintsAtOnce) {
  const LinkProfile fast = link_of(20e6, 0.005);
  PlanningProblem costly = problem(fast);
  costly.power = {.compute_watt = 1, .transmit_watt = 30, .idle_watt = 0};
  Constraints frugal;
  frugal.max_energy_joule = 0.3;
  AdaptivePolicy policy(costly, Objective::latency, frugal);
  EXPECT_EQ(policy.decide({}).choice.head_layers, 0U);
  // 150 KB now take so long that sending them takes too much energy, though the device alone would take longer still.
  Outcome slow;
  slow.bytes_up = 150'000;
  slow.transport_s = 0.05;
  for (int i = 1; i < 10; ++i) {
    slow.ended_s = i;
    policy.learn(slow);
  }
  Situation now;
  now.now_s = 10;
  const auto conditions = policy.conditions(10);
  ASSERT_GT(30 * 150e3 / conditions.link.up_bytes_per_s, 0.3);
  EXPECT_NE(policy.decide(now).choice.head_layers, 0U);
}

TEST(AdaptivePolicy, BeginsWithTheLoadThatIsKnown) {
  // With 1 MB/s the device is as good as the worker; four times slower it is not.
  auto loaded = problem(link_of(1e6));
  loaded.tiers[0].load_factor = 4;
  loaded.tiers[1].load_factor = 2;
  AdaptivePolicy policy(loaded, Objective::latency);
  const auto conditions = policy.conditions(0);
  EXPECT_NEAR(conditions.device_load_factor, 4, 0.5);
  EXPECT_NEAR(conditions.worker_load_factor, 2, 0.3);
  const Decision decision = policy.decide({});
  EXPECT_LT(decision.choice.head_layers, device_only);
  EXPECT_NEAR(decision.choice.value, SequentialPlanner(loaded).plan(Objective::latency).chosen->cost.latency_s,
              0.3 * decision.choice.value);
}

TEST(AdaptivePolicy, RefusesWhatCannotBe) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "", [] { AdaptivePolicy(PlanningProblem{}, Objective::latency); }));
  const auto refused = [](const std::string& words, const AdaptiveOptions& options) {
    return throws(ErrorCode::invalid_argument, words,
                  [&] { AdaptivePolicy(problem(link_of(1e6)), Objective::latency, {}, {}, options); });
  };
  AdaptiveOptions options;
  options.switching_gain = -1;
  EXPECT_TRUE(refused("switching_gain", options));
  options = {};
  options.longest_probe_after_s = 0.5;
  EXPECT_TRUE(refused("longest_probe_after_s", options));
  options = {};
  options.hedge_share = -1;
  EXPECT_TRUE(refused("hedge_share", options));
  options = {};
  options.race_gain = -1;
  EXPECT_TRUE(refused("race_gain", options));
  Constraints constraints;
  constraints.max_latency_s = 1e-6;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "constraints",
                     [&] { AdaptivePolicy(problem(link_of(1e6)), Objective::latency, constraints); }));
}

}  // namespace
}  // namespace splitnet
