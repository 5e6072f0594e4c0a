// SPDX-License-Identifier: Apache-2.0
#include "splitnet/tier_profiler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "hooked_model.hpp"
#include "picture_samples.hpp"
#include "served_model.hpp"
#include "splitnet/calibration.hpp"
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

TEST_F(TierProfiler, MeasuresTheDecodingOfInputsThatArrive) {
  const auto model = testing::ArithmeticModel::make({.seed = 9, .sizes = {1, 3, 24, 40}});
  worker_->add_model("pictures", model);
  TwoTierOptions options;
  options.link = some_link;
  const auto file = testing::file_of("jpeg", testing::smooth_picture(3, 24, 40));
  options.codecs.push_back(profile_of_files(*model, {EncodedPicture::of(file, "mean=0;std=1")}));
  const auto problem = profile_two_tiers(*model, *connection_, options);
  for (const Tier& tier : problem.tiers) {
    ASSERT_EQ(tier.profile.codecs.size(), 1U);
    EXPECT_EQ(tier.profile.codecs.front().codec, "jpeg:mean=0;std=1");
  }
  EXPECT_GT(SequentialPlanner(problem).plan(Objective::latency).device_only->cost.stages.front().input_decode_s, 0);
}

TEST_F(TierProfiler, TakesWhatIsGivenInsteadOfMeasuring) {
  const auto profile = profile_device(*model_, model_->example_inputs(), {.pause = std::chrono::nanoseconds(0)});
  TwoTierOptions options;
  options.device.profile = profile.scaled(3);
  options.worker.profile = profile.scaled(2);
  options.worker.memory_bytes = 1000;
  options.link = some_link;
  options.power.compute_watt = 5;
  worker_->close();  // Nobody is asked.
  const auto problem = profile_two_tiers(*model_, *connection_, options);
  EXPECT_EQ(problem.tiers[0].profile, profile.scaled(3));
  EXPECT_EQ(problem.tiers[1].profile, profile.scaled(2));
  EXPECT_EQ(problem.tiers[1].memory_bytes, 1000);
  EXPECT_EQ(problem.link(0, 1), some_link);
  EXPECT_EQ(problem.power, options.power);
}

TEST_F(TierProfiler, RefusesProfilesOfAnotherModelAndLinksThatCarryNothing) {
  const auto other = testing::chain_model();
  TwoTierOptions options;
  const auto refused = [&](ErrorCode code, const char* words) {
    return throws(code, words, [&] { (void)profile_two_tiers(*model_, *connection_, options); });
  };
  const auto pause = std::chrono::nanoseconds(0);
  options.device.profile = profile_device(*other, other->example_inputs(), {.pause = pause});
  EXPECT_TRUE(refused(ErrorCode::incompatible, "another model"));
  options.device.profile = profile_device(*model_, model_->example_inputs(), {.pause = pause});
  options.device.profile.inputs = "f32[9]";
  EXPECT_TRUE(refused(ErrorCode::incompatible, "inputs f32[9], the model has f32[2, 8]"));
  options.device.profile.inputs = "f32[2, 8]";
  options.device.profile.threads = 7;
  EXPECT_TRUE(refused(ErrorCode::incompatible, "7 threads"));
  options.device.profile = {};
  options.link = LinkProfile{0.01, 0, 0, 0, 1e6};
  EXPECT_TRUE(refused(ErrorCode::invalid_argument, "up_bytes_per_s is 0"));
  options.link = some_link;
  options.codecs.push_back({.name = "u8:mean=0;std=1", .ratio = 0.25});
  EXPECT_TRUE(refused(ErrorCode::invalid_argument, "only_inputs"));
}

TEST_F(TierProfiler, AModelWithoutExampleInputsCannotBeProfiled) {
  testing::Hooks hooks;
  hooks.has_examples = false;
  worker_->add_model("bare", std::make_shared<testing::HookedModel>(model_, std::move(hooks)));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "--input", [&] { ask({.model_name = "bare"}); }));
}

/// More JSON than the metadata of a message can hold.
TEST(TierProfilerOfALargeModel, GetsItsProfileToo) {
  const auto model = testing::ArithmeticModel::make({.name_prefix = std::string(10'000, 'x')});
  const auto worker = Worker::create();
  worker->add_model("net", model);
  const auto registry = TransportRegistry::with_defaults();
  const auto connection = registry.connect(worker->serve(registry, "tcp://127.0.0.1:0"));
  const auto profile = request_worker_profile(*connection, *model).profile;
  EXPECT_GT(to_json(profile).size(), MessageLimits{}.max_metadata_bytes);
  EXPECT_NO_THROW(profile.check_fits(model->layers()));
}

/// A worker that answers every request with this.
class LyingWorker {
 public:
  explicit LyingWorker(std::vector<Value> values, std::map<std::string, double> times_s = {}) {
    listener_ = registry_.listen("inproc://liar", [=](Message request, CallContext, Responder respond) {
      Message reply;
      reply.kind = MessageKind::reply;
      reply.id = request.id;
      reply.values = values;
      reply.times_s = times_s;
      respond(std::move(reply));
    });
    connection_ = registry_.connect("inproc://liar");
  }
  Connection& connection() { return *connection_; }

 private:
  TransportRegistry registry_ = TransportRegistry::with_defaults();
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> connection_;
};

TEST(TierProfilerOfALiar, RefusesAnswersThatAreNone) {
  const auto model = testing::branch_model();
  const auto refused = [&](std::vector<Value> values, const char* words) {
    LyingWorker liar(std::move(values));
    return throws(ErrorCode::corrupt, words, [&] { (void)request_worker_profile(liar.connection(), *model); });
  };
  Tensor text = Tensor::empty(DType::u8, {3});
  std::fill_n(text.data(), 3, std::byte{'x'});
  EXPECT_TRUE(refused({}, "0 values"));
  EXPECT_TRUE(refused({text, "many"}, "2 values"));
  EXPECT_TRUE(refused({text, std::int64_t{-1}}, "2 values"));
  EXPECT_TRUE(refused({"{}", std::int64_t{1}}, "expected a profile as bytes"));
  EXPECT_TRUE(refused({text, std::int64_t{1}}, "not JSON"));
  LyingWorker slow({Tensor::empty(DType::u8, {0})}, {{"queue", std::nan("")}});
  EXPECT_TRUE(throws(ErrorCode::corrupt, "answered with others", [&] { (void)probe_link(slow.connection()); }));
}

}  // namespace
}  // namespace splitnet
