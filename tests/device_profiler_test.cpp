// SPDX-License-Identifier: Apache-2.0
#include "splitnet/device_profiler.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <vector>

#include "arithmetic_model.hpp"
#include "error_of.hpp"

namespace splitnet {
namespace {

using namespace std::chrono_literals;
using testing::ArithmeticModel;
using testing::throws;

std::vector<Value> inputs() {
  return {testing::arithmetic_input({2, 8})};
}

TEST(ProfileDevice, FindsTheSlowLayer) {
  const auto model = ArithmeticModel::make({.sleep = {{4, 3ms}}});
  std::size_t last_done = 0;
  std::size_t last_total = 0;
  ProfileOptions options;
  options.progress = [&](std::size_t done, std::size_t total) {
    EXPECT_GT(done, last_done);
    last_done = done;
    last_total = total;
  };
  const auto profile = profile_device(*model, inputs(), options);
  EXPECT_NO_THROW(profile.validate());
  EXPECT_NO_THROW(profile.check_fits(model->layers()));
  EXPECT_EQ(last_done, last_total);
  EXPECT_LE(last_total, 20U) << "passes that a profile may cost";
  EXPECT_GE(profile.pass_s, 3e-3);
  for (std::size_t layer = 0; layer < profile.layers.size(); ++layer) {
    if (layer == 4) continue;
    EXPECT_LT(profile.layers[layer].time_s, profile.layers[4].time_s);
  }
  EXPECT_EQ(profile.framework, "arithmetic 1");
  EXPECT_NE(profile.machine, "");
}

TEST(ProfileDevice, LayersAddUpToThePassWithoutOverhead) {
  const auto model = ArithmeticModel::make({.sleep = {{1, 1ms}, {5, 2ms}}});
  const auto profile = profile_device(*model, inputs());
  double sum_s = 0;
  for (const auto& layer : profile.layers) sum_s += layer.time_s;
  EXPECT_NEAR(sum_s + profile.stage_overhead_s, profile.pass_s, 1e-9);
}

TEST(ProfileDevice, KnowsALoadedMachine) {
  const auto model = ArithmeticModel::make({.sleep = {{4, 3ms}}});
  auto profile = profile_device(*model, inputs());
  profile = profile.scaled(0.5);  // As if it had been measured on an idle machine twice as fast.
  EXPECT_GT(measure_load_factor(*model, inputs(), profile), 1.5);
  const auto other = ArithmeticModel::make({.seed = 2});
  EXPECT_TRUE(
      throws(ErrorCode::incompatible, "fingerprint", [&] { (void)measure_load_factor(*other, inputs(), profile); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "0 passes",
                     [&] { (void)measure_load_factor(*model, inputs(), profile, 0); }));
}

TEST(ProfileDevice, RefusesTooFewPasses) {
  const auto model = ArithmeticModel::make();
  ProfileOptions options;
  options.layer_passes = 1;
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "layer_passes is 1, expected at least 2",
                     [&] { (void)profile_device(*model, inputs(), options); }));
}

}  // namespace
}  // namespace splitnet
