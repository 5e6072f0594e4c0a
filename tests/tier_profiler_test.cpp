// SPDX-License-Identifier: Apache-2.0
#include "splitnet/tier_profiler.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "error_of.hpp"
#include "served_model.hpp"
#include "splitnet/error.hpp"
#include "splitnet/planner.hpp"
#include "splitnet/transport_registry.hpp"
#include "splitnet/worker.hpp"

namespace splitnet {
namespace {

using testing::throws;

const LinkProfile some_link{0.01, 0, 0, 1e6, 1e6};

class TierProfiler : public ::testing::Test {
 protected:
  TierProfiler() {
    worker_->add_model("net", model_);
    connection_ = registry_.connect(worker_->serve(registry_, "tcp://127.0.0.1:0"));
  }
  WorkerProfile ask(const WorkerProfileRequest& request = {}) {
    return request_worker_profile(*connection_, *model_, request);
  }

  TransportRegistry registry_ = TransportRegistry::with_defaults();
  std::shared_ptr<const Model> model_ = testing::branch_model();
  std::unique_ptr<Worker> worker_ = Worker::create();
  std::unique_ptr<Connection> connection_;
};

TEST_F(TierProfiler, AWorkerMeasuresOnceAndHandsItOut) {
  const auto first = ask();
  EXPECT_NO_THROW(first.profile.check_fits(model_->layers()));
  EXPECT_EQ(first.profile.framework, model_->framework());
  EXPECT_GT(first.profile.pass_s, 0);
  EXPECT_EQ(ask().profile, first.profile);
}

TEST_F(TierProfiler, AWorkerTellsTheMemoryOfAStageAndItsSpeedWithACodec) {
  const auto whole = ask();
  const auto tail = ask({.model_name = "net", .stage = {{{0, 1, 2, 3}}, 1}, .codec = "f16"});
  EXPECT_EQ(whole.stage_memory_bytes, 8 * 8);
  EXPECT_EQ(tail.stage_memory_bytes, 4 * 8);
  EXPECT_TRUE(whole.profile.codecs.empty());
  ASSERT_EQ(tail.profile.codecs.size(), 1U);
  EXPECT_EQ(tail.profile.codecs.front().codec, "f16");
}

TEST_F(TierProfiler, AWorkerRefusesWhatItDoesNotHave) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "unknown model", [&] { ask({.model_name = "other"}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "unknown codec", [&] { ask({.codec = "zip"}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "takes no value", [&] { ask({.codec = "u8:mean=0;std=1"}); }));
  const auto other = testing::chain_model();
  EXPECT_TRUE(
      throws(ErrorCode::incompatible, "fingerprint", [&] { (void)request_worker_profile(*connection_, *other); }));
}

TEST_F(TierProfiler, MeasuresAllThatAPlanNeeds) {
  TwoTierOptions options;
  options.codecs.push_back({.name = "f16", .ratio = 0.5});
  const auto problem = profile_two_tiers(*model_, *connection_, options);
  EXPECT_EQ(problem.tiers.size(), 2U);
  EXPECT_EQ(problem.tiers[0].profile.codecs.size(), 1U);
  EXPECT_EQ(problem.tiers[1].profile.codecs.size(), 1U);
  EXPECT_NO_THROW((void)SequentialPlanner(problem).plan(Objective::latency));
}

TEST_F(TierProfiler, TakesWhatIsGivenInsteadOfMeasuring) {
  const auto profile = profile_device(*model_, model_->example_inputs(), {.pause = std::chrono::nanoseconds(0)});
  const TwoTierOptions options{
      .device_profile = profile.scaled(3), .worker_profile = profile.scaled(2), .link_profile = some_link};
  worker_->close();  // Nobody is asked.
  const auto problem = profile_two_tiers(*model_, *connection_, options);
  EXPECT_EQ(problem.tiers[0].profile, profile.scaled(3));
  EXPECT_EQ(problem.tiers[1].profile, profile.scaled(2));
  EXPECT_EQ(problem.link(0, 1), some_link);
}

TEST_F(TierProfiler, RefusesProfilesOfAnotherModelAndLinksThatCarryNothing) {
  const auto other = testing::chain_model();
  TwoTierOptions options{.device_profile = profile_device(*other, other->example_inputs()), .link_profile = some_link};
  EXPECT_TRUE(throws(ErrorCode::incompatible, "another model",
                     [&] { (void)profile_two_tiers(*model_, *connection_, options); }));
  options = {.link_profile = LinkProfile{0.01, 0, 0, 0, 1e6}};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "up_bytes_per_s is 0",
                     [&] { (void)profile_two_tiers(*model_, *connection_, options); }));
}

}  // namespace
}  // namespace splitnet
