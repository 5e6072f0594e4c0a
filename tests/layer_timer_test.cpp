// SPDX-License-Identifier: Apache-2.0
#include "layer_timer.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "error_of.hpp"
#include "splitnet/device_profiler.hpp"
#include "torch_modules.hpp"

namespace splitnet {
namespace {

using testing::numbers;
using testing::script;
using testing::throws;
using testing::values_of;

/// A small layer, a large one, a small one.
std::shared_ptr<const Model> uneven() {
  const auto module = script(
      "def forward(self, x):\n  y = torch.relu(x)\n  z = torch.mm(y, self.w)\n  return torch.tanh(torch.sum(z, 1))\n",
      {{"w", numbers({400, 400})}});
  return Partitioner::from_module(module, {Value(numbers({400, 400}))});
}

TEST(TimeLayers, FindsTheLargeLayer) {
  const auto model = uneven();
  const std::vector<Value> inputs{Value(numbers({400, 400}, 3))};
  for (const int threads : {0, 1, 2}) {
    const auto passes = model->time_layers(inputs, 4, {.threads = threads});
    ASSERT_EQ(passes.size(), 4U);
    for (const LayerTimings& pass : passes) {
      ASSERT_EQ(pass.layer_s.size(), model->layers().layers.size());
      for (const double layer_s : pass.layer_s) EXPECT_GT(layer_s, 0);
      EXPECT_LE(std::accumulate(pass.layer_s.begin(), pass.layer_s.end(), 0.0), pass.pass_s);
    }
    const auto& last = passes.back();
    EXPECT_GT(last.layer_s[1], last.layer_s[3]) << "a product of 64 million multiply-adds against 400 numbers";
  }
}

TEST(TimeLayers, CountsTheMemoryOfAPass) {
  const auto passes = uneven()->time_layers({Value(numbers({400, 400}))}, 2);
  const std::int64_t matrix = 400 * 400 * 4;
  for (const auto& pass : passes) {
    EXPECT_GE(pass.peak_bytes[0], 2 * matrix) << "input and relu";
    EXPECT_LT(pass.peak_bytes[0], 3 * matrix);
    EXPECT_GE(pass.peak_bytes[1], 2 * matrix) << "relu and product; the input is free by now";
    EXPECT_LT(pass.peak_bytes[3], pass.peak_bytes[1]) << "what is not used any more is free";
  }
}

TEST(TimeLayers, LeavesInputsAloneAndChecksThem) {
  const auto module = script("def forward(self, x):\n  x.add_(1)\n  return torch.relu(x)\n");
  const auto example = numbers({4});
  const auto model = Partitioner::from_module(module, {Value(example)});
  (void)model->time_layers({Value(example)}, 3);
  EXPECT_TRUE(example.equal(numbers({4})));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected f32",
                     [&] { (void)model->time_layers({Value(at::arange(4))}, 1); }));
}

TEST(TimeLayers, GluesBranchesAndLoopsAreTimedToo) {
  const auto module = script(
      "def forward(self, x):\n"
      "  n = x.size(0)\n"
      "  for i in range(n):\n"
      "    x = torch.relu(x + i)\n"
      "  if bool(x.sum() > 0):\n"
      "    x = torch.exp(x)\n"
      "  return torch.cat([x, x], 0), n\n");
  const auto model = Partitioner::from_module(module, {Value(numbers({4}))});
  const auto passes = model->time_layers({Value(numbers({4}))}, 2);
  for (const double layer_s : passes.back().layer_s) EXPECT_GT(layer_s, 0);
}

TEST(ProfileDevice, OfATorchModel) {
  const auto model = uneven();
  const auto profile = profile_device(*model, {Value(numbers({400, 400}))}, {.stage = {.threads = 1}});
  EXPECT_NO_THROW(profile.validate());
  EXPECT_NO_THROW(profile.check_fits(model->layers()));
  EXPECT_EQ(profile.threads, 1);
  EXPECT_EQ(profile.framework.rfind("torch 2", 0), 0U) << profile.framework;
  EXPECT_GT(profile.stage_overhead_s, 0);
  EXPECT_LT(profile.stage_overhead_s, profile.pass_s);
}

}  // namespace
}  // namespace splitnet
