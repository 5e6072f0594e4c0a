// SPDX-License-Identifier: Apache-2.0
#include "splitnet/model.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "arithmetic_model.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

using testing::arithmetic_input;
using testing::ArithmeticModel;
using testing::ArithmeticOptions;

template <class Call>
ErrorCode code_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode{};
}

/// All sets of layers that are closed under the graph's edges.
std::vector<LayerSet> closed_sets(const LayerGraph& graph) {
  std::vector<LayerSet> sets;
  for (std::size_t bits = 0; bits < (std::size_t{1} << graph.layers.size()); ++bits) {
    std::vector<std::size_t> layers;
    for (std::size_t i = 0; i < graph.layers.size(); ++i) {
      if ((bits >> i & 1U) != 0) layers.push_back(i);
    }
    try {
      sets.push_back(graph.resolve(Cut::of(layers)));
    } catch (const Error&) {  // not closed
    }
  }
  return sets;
}

TEST(Model, EveryClosedCutGivesTheUncutResult) {
  for (const bool in_place : {false, true}) {
    const ArithmeticModel model({.in_place = in_place});
    const auto input = arithmetic_input({2, 8});
    const auto expected = model.run(input);
    const auto sets = closed_sets(model.layers());
    if (!in_place) {
      EXPECT_GT(sets.size(), model.layers().layers.size() + 1) << "only prefixes";
    }
    for (const auto& set : sets) {
      const auto stages = model.split({Cut::of(set)});
      EXPECT_TRUE(bit_identical(run_stages(model, stages, {input}), expected)) << set.size();
    }
  }
}

TEST(Model, ThreeCutsGiveFourStages) {
  const ArithmeticModel model;
  const auto input = arithmetic_input({3, 5}, 7);
  const auto stages = model.split({Cut::after("stem"), Cut::after_index(2), Cut::after("chain.5")});
  ASSERT_EQ(stages.size(), 4U);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    EXPECT_EQ(stages[i]->info().index, i);
    EXPECT_EQ(stages[i]->info().stage_count, 4U);
  }
  EXPECT_TRUE(bit_identical(run_stages(model, stages, {input}), model.run(input)));
}

TEST(Model, EmptyAndFullHeadsWork) {
  const ArithmeticModel model;
  const auto input = arithmetic_input({4});
  const auto at_input = model.split({Cut::at_input()});
  EXPECT_EQ(at_input[0]->info().parameter_bytes, 0);
  EXPECT_TRUE(bit_identical(run_stages(model, at_input, {input}), model.run(input)));
  const auto at_end = model.split({Cut::after_index(model.layers().layers.size() - 1)});
  EXPECT_TRUE(at_end[1]->info().inputs.empty());
  EXPECT_TRUE(bit_identical(run_stages(model, at_end, {input}), model.run(input)));
}

TEST(Model, SplitPassesRefusalsAndUnknownNamesOn) {
  const ArithmeticModel model({.refused = {2}});
  EXPECT_EQ(code_of([&] { (void)model.split({Cut::after_index(1)}); }), ErrorCode::unsupported_model);
  EXPECT_EQ(code_of([&] { (void)model.split({Cut::after("nothing")}); }), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of([&] {
              (void)model.split({Cut::after_index(4), Cut::after_index(0)});
            }),
            ErrorCode::invalid_argument);
}

TEST(Model, AStageNeverChangesWhatTheCallerSees) {
  const ArithmeticModel model({.in_place = true});
  const auto stages = model.split({Cut::after("branch")});
  const auto boundary = stages[0]->run({arithmetic_input({2, 8})});
  auto first = stages[1]->run({boundary.begin(), boundary.begin() + 3});
  const auto second = stages[1]->run({boundary.begin(), boundary.begin() + 3});
  EXPECT_TRUE(bit_identical(first.at(0), second.at(0)));
}

class StageWithInfo : public Stage {
 public:
  StageWithInfo(StageInfo info, std::size_t gives) : info_(std::move(info)), gives_(gives) {}
  const StageInfo& info() const noexcept override { return info_; }
  std::vector<Value> run(std::vector<Value> /*inputs*/) const override { return std::vector<Value>(gives_); }
  void save(const std::string& /*path*/) const override {}

 private:
  StageInfo info_;
  std::size_t gives_;
};

TEST(Model, RunStagesNoticesAStageThatBreaksItsPromise) {
  const ArithmeticModel model;
  const auto run_one = [&](StageInfo info, std::size_t gives) {
    std::vector<std::unique_ptr<Stage>> stages;
    stages.push_back(std::make_unique<StageWithInfo>(std::move(info), gives));
    return code_of([&] { (void)run_stages(model, stages, {}); });
  };
  StageInfo info;
  info.outputs.resize(1);
  info.result_slots = {0};
  EXPECT_EQ(run_one(info, 0), ErrorCode::internal);
  EXPECT_EQ(run_one(info, 1), ErrorCode{});
  info.result_slots = {99};
  EXPECT_EQ(run_one(info, 1), ErrorCode::internal);
}

TEST(Model, RefusalReasonsHaveNames) {
  EXPECT_EQ(to_string(RefusalReason::value_cannot_travel), "value_cannot_travel");
  EXPECT_EQ(to_string(RefusalReason::shared_container_written), "shared_container_written");
  EXPECT_EQ(to_string(RefusalReason::random_numbers_after_cut), "random_numbers_after_cut");
}

}  // namespace
}  // namespace splitnet
