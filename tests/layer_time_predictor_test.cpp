// SPDX-License-Identifier: Apache-2.0
#include "splitnet/layer_time_predictor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "planning_samples.hpp"

namespace splitnet {
namespace {

using testing::RandomProblems;
using testing::throws;

/// Convolutions at 10 GFLOP/s, others at 1 GB/s, 2 µs for each layer; every time off by up to `noise`.
ProfiledModel sample(std::uint64_t seed, double noise) {
  RandomProblems random(seed);
  ProfiledModel model{random.chain(40), {}};
  auto& graph = model.graph;
  std::vector<double> times_s;
  for (std::size_t i = 0; i < graph.layers.size(); ++i) {
    const auto bytes =
        static_cast<double>(graph.values[i].bytes + graph.values[i + 1].bytes + graph.layers[i].parameter_bytes);
    double time_s = 2e-6;
    if (i % 2 == 0) {
      graph.layers[i].operator_name = "aten::conv2d";
      graph.layers[i].flops = static_cast<std::int64_t>(random.below(100'000'000));
      time_s += static_cast<double>(*graph.layers[i].flops) / 10e9;
    } else {
      graph.layers[i].operator_name = "aten::relu";
      time_s += bytes / 1e9;
    }
    times_s.push_back(time_s * random.between(1 - noise, 1 + noise));
  }
  model.profile = testing::profile_of(graph, times_s);
  return model;
}

TEST(LayerTimePredictor, FindsTheCoefficientsThatMadeTheTimes) {
  const auto predictor = LayerTimePredictor::fit({sample(1, 0), sample(2, 0), sample(3, 0)});
  const auto& conv = predictor.operators.at("aten::conv2d");
  EXPECT_NEAR(conv.s_per_layer, 2e-6, 1e-9);
  EXPECT_NEAR(conv.s_per_flop, 1e-10, 1e-14);
  EXPECT_NEAR(conv.s_per_byte, 0, 1e-13);
  EXPECT_NEAR(predictor.operators.at("aten::relu").s_per_byte, 1e-9, 1e-13);
  EXPECT_LT(predictor.relative_error, 1e-6);
}

TEST(LayerTimePredictor, StatesItsErrorOnModelsItHasNotSeen) {
  const auto predictor = LayerTimePredictor::fit({sample(1, 0.2), sample(2, 0.2), sample(3, 0.2), sample(4, 0.2)});
  EXPECT_GT(predictor.relative_error, 1e-4);
  EXPECT_LT(predictor.relative_error, 0.2);
  const auto unseen = sample(9, 0.2);
  const auto predicted = predictor.predict(unseen.graph);
  EXPECT_NO_THROW(predicted.validate());
  EXPECT_NO_THROW(predicted.check_fits(unseen.graph));
  EXPECT_EQ(predicted.relative_error, predictor.relative_error);
  EXPECT_NEAR(predicted.pass_s, unseen.profile.pass_s, 0.2 * unseen.profile.pass_s);
}

TEST(LayerTimePredictor, NeverPredictsLessThanNothing) {
  auto growing = sample(1, 0);
  auto shrinking = sample(2, 0);
  for (auto* model : {&growing, &shrinking}) {  // The more there is to do, the shorter it takes.
    for (std::size_t i = 0; i < model->graph.layers.size(); i += 2) {
      model->profile.layers[i].time_s = 1e-2 / (1 + static_cast<double>(*model->graph.layers[i].flops));
    }
  }
  const auto predictor = LayerTimePredictor::fit({growing, shrinking});
  for (const auto& [name, found] : predictor.operators) {
    EXPECT_GE(found.s_per_layer, 0) << name;
    EXPECT_GE(found.s_per_flop, 0) << name;
    EXPECT_GE(found.s_per_byte, 0) << name;
  }
}

TEST(LayerTimePredictor, KnowsSomethingOfOperatorsItNeverSaw) {
  const auto predictor = LayerTimePredictor::fit({sample(1, 0), sample(2, 0)});
  auto graph = sample(3, 0).graph;
  graph.layers[1].operator_name = "aten::unheard_of";
  EXPECT_GT(predictor.predict(graph).layers[1].time_s, 0);
}

TEST(LayerTimePredictor, RefusesTooLittleAndForeignProfiles) {
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "1 profiled models", [] { LayerTimePredictor::fit({sample(1, 0)}); }));
  auto foreign = sample(2, 0);
  foreign.profile.fingerprint = "other";
  EXPECT_TRUE(throws(ErrorCode::incompatible, "fingerprint", [&] {
    LayerTimePredictor::fit({sample(1, 0), foreign});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "no layers", [] { (void)LayerTimePredictor{}.predict({}); }));
}

TEST(LambdaTimeFactor, IsTheShareOfACore) {
  EXPECT_DOUBLE_EQ(lambda_time_factor(1769), 1);
  EXPECT_DOUBLE_EQ(lambda_time_factor(884.5), 2);
  EXPECT_DOUBLE_EQ(lambda_time_factor(10'240), 1) << "one thread uses one core";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected 128", [] { (void)lambda_time_factor(64); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "expected 128", [] { (void)lambda_time_factor(std::nan("")); }));
}

}  // namespace
}  // namespace splitnet
