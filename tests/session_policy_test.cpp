// SPDX-License-Identifier: Apache-2.0
// Sessions that decide anew before each inference.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "served_model.hpp"
#include "splitnet/adaptive_policy.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "transport/roads.hpp"
#include "tsan_suppressions.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::Gate;
using testing::Hooks;
using testing::throws;
using ModelPtr = std::shared_ptr<const Model>;

/// Does what the test says, and remembers what it was told.
class ScriptedPolicy : public Policy {
 public:
  Decision decide(const Situation& situation) override {
    const std::lock_guard lock(mutex_);
    situations.push_back(situation);
    return next;
  }
  void learn(const Outcome& outcome) override {
    const std::lock_guard lock(mutex_);
    outcomes.push_back(outcome);
  }
  void set(const Decision& decision) {
    const std::lock_guard lock(mutex_);
    next = decision;
  }
  std::vector<Outcome> learned() const {
    const std::lock_guard lock(mutex_);
    return outcomes;
  }
  std::vector<Situation> asked() const {
    const std::lock_guard lock(mutex_);
    return situations;
  }

 private:
  mutable std::mutex mutex_;
  Decision next;
  std::vector<Situation> situations;
  std::vector<Outcome> outcomes;
};

/// The session owns its policy; the test keeps it too.
class SharedPolicy : public Policy {
 public:
  explicit SharedPolicy(std::shared_ptr<Policy> policy) : policy_(std::move(policy)) {}
  Decision decide(const Situation& situation) override { return policy_->decide(situation); }
  void learn(const Outcome& outcome) override { policy_->learn(outcome); }

 private:
  const std::shared_ptr<Policy> policy_;
};

class SessionPolicyTest : public ::testing::Test {
 protected:
  void TearDown() override { gate_.open(); }
  std::string serve(ModelPtr model) {
    workers_.push_back(Worker::create());
    workers_.back()->add_model("net", std::move(model));
    return workers_.back()->serve(registry_, "tcp://127.0.0.1:0");
  }
  SessionOptions options(const std::string& worker) {
    SessionOptions result;
    result.worker = worker;
    result.objective = Objective::latency;
    TwoTierOptions& planning = result.planning;
    planning.device.profile = profile();
    planning.worker.profile = profile().scaled(0.5);
    planning.link = LinkProfile{1e-4, 0, 1e-5, 1e6, 1e6};
    planning.codecs.push_back({.name = "f16", .ratio = 0.5});
    result.policy = [this](const PlanningProblem&, const IsLegal&, Objective, const Constraints&) {
      return std::make_unique<SharedPolicy>(policy_);
    };
    return result;
  }
  /// A millisecond for each layer.
  DeviceProfile profile() const {
    auto measured = profile_device(*model_, model_->example_inputs(), {.pause = 0ns});
    measured.pass_s = 1e-3 * static_cast<double>(layers_);
    measured.stage_overhead_s = 0;
    for (LayerTime& layer : measured.layers) layer.time_s = 1e-3;
    measured.codecs = {{"f16", 1e9, 1e9}};  // Measuring takes a while, and depends on what else the machine does.
    return measured;
  }
  Decision decision(std::size_t head_layers, std::size_t codec = 0) const {
    Decision wanted;
    wanted.choice = {head_layers, codec, 0};
    return wanted;
  }
  void expect_right(int seed, const Answer& answer) const {
    EXPECT_TRUE(bit_identical(answer.output, testing::uncut(*model_, seed))) << "of input " << seed;
  }
  /// Until the plan that the policy wants has been made.
  Answer run_when_ready(Session& session, int seed) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    for (;;) {
      Answer answer = session.run(testing::inputs_of(seed));
      if (answer.decision.reason != Reason::not_ready || std::chrono::steady_clock::now() > until) return answer;
      std::this_thread::sleep_for(1ms);
    }
  }

  const ModelPtr model_ = testing::chain_model();
  const std::size_t layers_ = model_->layers().layers.size();
  const std::shared_ptr<ScriptedPolicy> policy_ = std::make_shared<ScriptedPolicy>();
  TransportRegistry registry_ = testing::all_transports();
  Gate gate_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(SessionPolicyTest, DoesWhatThePolicySaysAtEveryCut) {
  const auto session = Session::open(model_, options(serve(model_)));
  for (std::size_t head = 0; head <= layers_; ++head) {
    policy_->set(decision(head));
    const Answer answer = run_when_ready(*session, static_cast<int>(head));
    expect_right(static_cast<int>(head), answer);
    EXPECT_EQ(answer.decision.choice.head_layers, head);
    EXPECT_EQ(answer.times.hops.size(), head < layers_ ? 1U : 0U);
  }
  policy_->set(decision(3, 1));
  EXPECT_GT(run_when_ready(*session, 1).times.encode_s, 0) << "the codec is part of the decision";
}

TEST_F(SessionPolicyTest, GoesOnWhileAPlanIsMadeReady) {
  std::atomic<bool> holds = false;
  const auto device =
      std::make_shared<testing::HookedModel>(model_, Hooks{.on_make = [&](const StageKey& key) {
                                               if (holds && key.cuts.size() == 1 && key.cuts[0].size() == 5)
                                                 gate_.pass();
                                             }});
  policy_->set(decision(layers_));
  const auto session = Session::open(device, options(serve(model_)));
  expect_right(1, session->run(testing::inputs_of(1)));
  holds = true;
  policy_->set(decision(5));
  const Answer meanwhile = session->run(testing::inputs_of(2));
  expect_right(2, meanwhile);
  EXPECT_EQ(meanwhile.decision.reason, Reason::not_ready);
  EXPECT_EQ(meanwhile.decision.choice.head_layers, layers_) << "what ran, not what was wanted";
  gate_.open();
  EXPECT_EQ(run_when_ready(*session, 3).decision.choice.head_layers, 5U);
}

TEST_F(SessionPolicyTest, TellsThePolicyHowItWent) {
  policy_->set(decision(2));
  const auto session = Session::open(model_, options(serve(model_)));
  const Answer answer = run_when_ready(*session, 1);
  const Outcome outcome = policy_->learned().back();
  EXPECT_EQ(outcome.head_layers, 2U);
  EXPECT_FALSE(outcome.is_under_way);
  EXPECT_EQ(outcome.transport_s, answer.times.transport_s);
  EXPECT_EQ(outcome.tail_s, answer.times.tail_s);
  EXPECT_EQ(outcome.head_s, answer.times.head_s);
  EXPECT_EQ(outcome.bytes_up, static_cast<double>(answer.times.boundary_bytes));
  EXPECT_GT(outcome.ended_s, 0);
}

TEST_F(SessionPolicyTest, TheDeviceBeginsWhenThePolicySaysSo) {
  std::atomic<bool> holds = false;
  const auto held = std::make_shared<testing::HookedModel>(model_, Hooks{.on_run = [&](const StageInfo&) {
                                                             if (holds) gate_.pass();
                                                           }});
  Decision hedged = decision(2);
  hedged.hedge_after_s = 0.02;
  policy_->set(hedged);
  const auto session = Session::open(model_, options(serve(held)));
  (void)run_when_ready(*session, 1);
  holds = true;
  Answer answer = session->run(testing::inputs_of(1));
  expect_right(1, answer);
  EXPECT_TRUE(answer.hedged);
  EXPECT_GE(answer.times.device_wait_s, 0.01);
  EXPECT_GT(policy_->learned().back().hedge_s, 0);

  answer = session->run(testing::inputs_of(2));
  EXPECT_GT(policy_->asked().back().bytes_under_way, 0) << "the first request is still on its way";
  bool is_told = false;
  for (const Outcome& outcome : policy_->learned()) is_told = is_told || outcome.is_under_way;
  EXPECT_TRUE(is_told) << "that it has been for so long";
}

TEST_F(SessionPolicyTest, ARaceThatTheWorkerLosesIsNoFailureOfIts) {
  std::atomic<bool> holds = false;
  const auto held = std::make_shared<testing::HookedModel>(model_, Hooks{.on_run = [&](const StageInfo&) {
                                                             if (holds) gate_.pass();
                                                           }});
  const auto device = std::make_shared<testing::HookedModel>(
      model_, Hooks{.on_run = [](const StageInfo&) { std::this_thread::sleep_for(20ms); }});
  Decision raced = decision(2);
  raced.hedge_after_s = 0;
  policy_->set(raced);
  const auto session = Session::open(device, options(serve(held)));
  (void)run_when_ready(*session, 1);
  holds = true;
  for (int seed = 0; seed < 6; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    expect_right(seed, answer);
    EXPECT_TRUE(answer.hedged);
    EXPECT_TRUE(policy_->asked().back().worker_answers);
  }
  EXPECT_GE(session->stats().requests, 6U);
}

TEST_F(SessionPolicyTest, AFixedPlanIsNotHedged) {
  auto fixed = options(serve(model_));
  fixed.policy = {};
  fixed.planning.device.profile = profile().scaled(100);
  fixed.planning.codecs.pop_back();
  const auto session = Session::open(model_, fixed);
  for (int seed = 0; seed < 5; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed));
    expect_right(seed, answer);
    EXPECT_FALSE(answer.answered_by.empty());
    EXPECT_FALSE(answer.hedged);
  }
  EXPECT_EQ(session->stats().finishing_s, 0);
}

TEST_F(SessionPolicyTest, TheDeviceBeginsInTimeThoughItIsAtAWholeModel) {
  testing::ArithmeticOptions slow;
  slow.in_place = true;
  for (std::size_t layer = 0; layer < layers_; ++layer) slow.sleep[layer] = 40ms;
  std::atomic<bool> holds = false;
  auto slow_options =
      options(serve(std::make_shared<testing::HookedModel>(model_, Hooks{.on_run = [&](const StageInfo&) {
                                                             if (holds) gate_.pass();
                                                           }})));
  slow_options.planning.device.profile = profile().scaled(40);
  policy_->set(decision(0));
  const auto session = Session::open(testing::ArithmeticModel::make(slow), slow_options);
  (void)run_when_ready(*session, 1);
  holds = true;
  for (int round = 0; round < 2; ++round) {
    policy_->set(decision(0));
    auto answer = session->submit(testing::inputs_of(1), {.deadline = 3s});
    std::this_thread::sleep_for(200ms);
    // From now on it is at passes of 320 ms, one after the other; that of the answer takes as long.
    policy_->set(decision(layers_));
    while (answer.wait_for(0s) != std::future_status::ready) expect_right(2, session->run(testing::inputs_of(2)));
    expect_right(1, answer.get());
  }
}

TEST_F(SessionPolicyTest, SaysWhenNoWorkerAnswers) {
  policy_->set(decision(2));
  auto patient = options(serve(model_));
  patient.connect.reconnect.first_pause = 1h;
  patient.connect.reconnect.longest_pause = 1h;
  const auto session = Session::open(model_, patient);
  (void)run_when_ready(*session, 1);
  EXPECT_TRUE(policy_->asked().back().worker_answers);
  workers_.clear();
  expect_right(2, session->run(testing::inputs_of(2)));
  expect_right(3, session->run(testing::inputs_of(3)));
  EXPECT_FALSE(policy_->asked().back().worker_answers);
}

TEST_F(SessionPolicyTest, ProbesBesideTheInference) {
  const auto session = Session::open(model_, options(serve(model_)));
  Decision probing = decision(layers_);
  probing.probe_bytes = 5000;
  policy_->set(probing);
  expect_right(1, run_when_ready(*session, 1));
  const auto is_probe = [](const Outcome& outcome) { return outcome.bytes_up == 5000 && outcome.transport_s > 0; };
  const auto until = std::chrono::steady_clock::now() + 20s;
  for (auto learned = policy_->learned(); std::none_of(learned.begin(), learned.end(), is_probe);
       learned = policy_->learned()) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_GE(session->stats().probes, 1U);
}

TEST_F(SessionPolicyTest, KeepsTheLatestDecisions) {
  auto forgetful = options(serve(model_));
  forgetful.kept_decisions = 3;
  policy_->set(decision(layers_));
  const auto session = Session::open(model_, forgetful);
  for (int seed = 0; seed < 5; ++seed) (void)session->run(testing::inputs_of(seed));
  const auto decisions = session->decisions();
  ASSERT_EQ(decisions.size(), 3U);
  EXPECT_EQ(decisions.front().inference, 3U);
  EXPECT_EQ(decisions.back().inference, 5U);
  EXPECT_LE(decisions.front().at_s, decisions.back().at_s);
  EXPECT_EQ(decisions.back().codec, "raw");
}

TEST_F(SessionPolicyTest, PoliciesNeedAnObjective) {
  auto fixed = options(serve(model_));
  fixed.objective.reset();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "objective", [&] { (void)Session::open(model_, fixed); }));
  auto none = options(fixed.worker);
  none.policy = [](const PlanningProblem&, const IsLegal&, Objective, const Constraints&) {
    return std::unique_ptr<Policy>();
  };
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "gave no policy", [&] { (void)Session::open(model_, none); }));
}

/// A worker that is far faster, behind a link that dies for a second.
TEST_F(SessionPolicyTest, AnAdaptiveSessionLeavesALinkThatHasDied) {
  testing::ArithmeticOptions same;
  same.in_place = true;  // As model_.
  for (std::size_t layer = 0; layer < layers_; ++layer) same.sleep[layer] = 1ms;
  const ModelPtr device = testing::ArithmeticModel::make(same);
  const std::string trace = ::testing::TempDir() + "splitnet_dying_link.csv";
  std::ofstream(trace) << "time_s,bandwidth_bit_per_s\n0,80000000\n1,0\n2,0\n3,0\n4,80000000\n5,80000000\n";
  auto adaptive = options("shaped://up_trace=" + trace + "@" + serve(model_));
  adaptive.planning.worker.profile = profile().scaled(0.01);
  adaptive.planning.codecs = {{}};  // Raw, so that every answer has the same bits.
  adaptive.policy = adaptive_policy();
  const auto session = Session::open(device, adaptive);
  const auto begun = std::chrono::steady_clock::now();
  std::size_t here = 0;
  std::size_t there = 0;
  std::size_t late = 0;
  for (int seed = 0; std::chrono::steady_clock::now() - begun < 6s; ++seed) {
    const Answer answer = session->run(testing::inputs_of(seed), {.deadline = 2s});
    expect_right(seed, answer);
    ++(answer.answered_by.empty() ? here : there);
    if (answer.times.total_s > 1) ++late;
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_GT(here, 0U) << "while the link was dead";
  EXPECT_GT(there, 0U) << "before and after";
  EXPECT_LE(late, 3U) << "who waited for the link to come back";
  const auto decisions = session->decisions();
  EXPECT_TRUE(std::any_of(decisions.begin(), decisions.end(),
                          [](const DecisionRecord& record) { return record.decision.reason == Reason::switched; }));
}

}  // namespace
}  // namespace splitnet
