// SPDX-License-Identifier: Apache-2.0
#include "splitnet/partitioner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "error_of.hpp"
#include "graph_archive.hpp"
#include "splitnet/torch_stage.hpp"
#include "temporary_file.hpp"
#include "torch_modules.hpp"

namespace splitnet {
namespace {

using ::testing::AllOf;
using testing::check_every_cut;
using testing::closed_sets;
using testing::conv;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::linear;
using ::testing::Not;
using testing::numbers;
using testing::script;
using ::testing::StartsWith;
using testing::TemporaryFile;
using testing::throws;
using testing::uncut;
using testing::values_of;

std::vector<std::string> layer_names(const Model& model) {
  std::vector<std::string> names;
  for (const auto& layer : model.layers().layers) names.push_back(layer.name);
  return names;
}

std::vector<std::string> operators(const Model& model) {
  std::vector<std::string> names;
  for (const auto& layer : model.layers().layers) names.push_back(layer.operator_name);
  return names;
}

std::shared_ptr<const Model> load(const torch::jit::Module& module, const std::vector<c10::IValue>& inputs,
                                  const PartitionerOptions& options = {}) {
  return Partitioner::from_module(module, values_of(inputs), options);
}

std::shared_ptr<const Model> perceptron() {
  return load(testing::perceptron(), {numbers({2, 4})});
}

// --- Layers -------------------------------------------------------------------------------------------

TEST(Partitioner, LayersHaveTheModulePathsOfNestedModules) {
  const auto model = perceptron();
  const auto& layers = model->layers().layers;
  ASSERT_EQ(layers.size(), 3U);
  EXPECT_THAT(layer_names(*model), ElementsAre("features.first", "features", "head"));
  EXPECT_EQ(layers[0].module_path, "features.first");
  EXPECT_EQ(layers[0].operator_name, "aten::linear");
  EXPECT_EQ(layers[0].parameter_bytes, (4 * 6 + 6) * 4);
  EXPECT_EQ(layers[1].operator_name, "aten::relu");
  EXPECT_EQ(layers[0].flops, 2 * 2 * 4 * 6);
}

TEST(Partitioner, SeveralLayersOfOnePathAreNumbered) {
  const auto module = script("def forward(self, x):\n  return torch.tanh(torch.relu(torch.relu(x)))\n");
  EXPECT_THAT(layer_names(*load(module, {numbers({3})})), ElementsAre("relu", "relu#2", "tanh"));
  auto child = script("def forward(self, x):\n  return torch.tanh(torch.relu(x))\n");
  const auto nested =
      script("def forward(self, x):\n  return self.act.forward(self.act.forward(x))\n", {}, {{"act", child}});
  EXPECT_THAT(layer_names(*load(nested, {numbers({3})})), ElementsAre("act", "act#2", "act#3", "act#4"));
}

TEST(Partitioner, ValuesKnowTheirShapesFromTheExample) {
  const auto model = perceptron();
  const auto& values = model->layers().values;
  const auto first = std::find_if(values.begin(), values.end(), [](const auto& value) { return value.producer == 0; });
  ASSERT_NE(first, values.end());
  EXPECT_EQ(first->sizes, (std::vector<std::int64_t>{2, 6}));
  EXPECT_EQ(first->bytes, 2 * 6 * 4);
  EXPECT_EQ(first->dtype, "f32");
  EXPECT_THAT(first->consumers, ElementsAre(1U));
  EXPECT_EQ(values.front().producer, GraphValue::from_input);
  EXPECT_TRUE(values.back().is_output);
}

TEST(Partitioner, WithoutExamplesThereAreLayersButNoShapes) {
  const auto module = testing::perceptron();
  const auto model = Partitioner::from_module(module);
  EXPECT_EQ(model->layers().layers.size(), 3U);
  for (const auto& value : model->layers().values) EXPECT_THAT(value.sizes, IsEmpty());
  const std::vector<c10::IValue> inputs = {numbers({2, 4})};
  const auto stages = model->split({Cut::after_index(1)});
  EXPECT_TRUE(bit_identical(run_stages(*model, stages, values_of(inputs)), uncut(module, inputs)));
}

// --- Naming a cut -------------------------------------------------------------------------------------

TEST(Partitioner, ACutAfterAModulePathEndsWithItsLastLayer) {
  const auto model = perceptron();
  EXPECT_THAT(model->layers().resolve(Cut::after("features.first")), ElementsAre(0U));
  EXPECT_THAT(model->layers().resolve(Cut::after("features")), ElementsAre(0U, 1U));
  EXPECT_THAT(model->layers().resolve(Cut::after("head")), ElementsAre(0U, 1U, 2U));
}

TEST(Partitioner, AnUnknownLayerSuggestsNearOnes) {
  const auto model = perceptron();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'features.first'",
                     [&] { return model->split({Cut::after("feature.first")}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "feature.first",
                     [&] { return model->split({Cut::after("feature.first")}); }));
}

TEST(Partitioner, AnIndexBeyondTheLastLayerIsRefused) {
  const auto model = perceptron();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "layer 3 is out of range: the model has 3 layers",
                     [&] { return model->split({Cut::after_index(3)}); }));
}

TEST(Partitioner, ACutThatIsNotClosedNamesTheMissingLayer) {
  const auto model = perceptron();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'features' (1)", [&] { return model->split({Cut::of({0, 2})}); }));
  const StageKey key{{{0, 2}}, 0};
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'features' (1)", [&] { return model->make_stage(key); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'features' (1)", [&] { return model->refusal(key.cuts); }));
}

TEST(Partitioner, AnInPlaceWriteMakesAnOrderEdge) {
  // Without the order edge {0, 2} would be closed: exp does not read what add_ gives.
  const auto module = script("def forward(self, x):\n  y = torch.relu(x)\n  y.add_(1)\n  return torch.exp(y)\n");
  const auto model = load(module, {numbers({3})});
  ASSERT_THAT(operators(*model), ElementsAre("aten::relu", "aten::add_", "aten::exp"));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'add_' (1)", [&] { return model->split({Cut::of({0, 2})}); }));
}

TEST(Partitioner, AStageBeyondTheCutsOrAnUnsortedCutIsRefused) {
  const auto model = perceptron();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "1 cuts give 2 stages", [&] {
    return model->make_stage({{{0}}, 2});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "not sorted", [&] { return model->make_stage({{{1, 0}}, 0}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "does not contain", [&] {
    return model->make_stage({{{0, 1}, {0}}, 0});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "threads", [&] { return model->split({}, {.threads = -1}); }));
}

// --- Every cut gives the uncut bits ----------------------------------------------------------------------

/// Every closed set of the module is a legal cut.
void expect_all_legal(const torch::jit::Module& module, const std::vector<c10::IValue>& inputs, std::size_t layers) {
  const auto count = check_every_cut(module, inputs);
  EXPECT_EQ(count.layers, layers);
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_GT(count.legal, layers);
}

TEST(EveryCut, Sequential) {
  expect_all_legal(testing::perceptron(), {numbers({2, 4})}, 3);
}

TEST(EveryCut, BranchesAndSkips) {
  const auto module = script(
      "def forward(self, x):\n"
      "  a = self.a.forward(x)\n"
      "  b = torch.sigmoid(a)\n"
      "  c = torch.relu(a)\n"
      "  return self.b.forward(torch.cat([b, c, x], 1)) + a.mean()\n",
      {}, {{"a", conv(3, 3, 1)}, {"b", conv(9, 2, 4)}});
  const auto count = check_every_cut(module, {numbers({2, 3, 5, 6})});
  EXPECT_EQ(count.layers, 7U);
  EXPECT_GT(count.legal, count.layers + 1) << "only prefixes";
}

TEST(EveryCut, InPlaceThroughAView) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = self.c.forward(x)\n"
      "  a = y[:8]\n"
      "  a.add_(1)\n"
      "  return self.d.forward(y)\n",
      {}, {{"c", linear(4, 5, 1)}, {"d", linear(5, 3, 3)}});
  expect_all_legal(module, {numbers({10, 4})}, 4);
}

TEST(EveryCut, AnOutputThatIsWrittenLater) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = torch.relu(x)\n"
      "  z = y * 2\n"
      "  y.mul_(3)\n"
      "  return y, z\n");
  expect_all_legal(module, {numbers({6})}, 3);
}

TEST(EveryCut, AViewThatIsAnOutputIsWrittenThroughItsBase) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = torch.relu(x)\n"
      "  v = y.view([2, 3])\n"
      "  w = torch.exp(v)\n"
      "  y.neg_()\n"
      "  return v, w, y\n");
  expect_all_legal(module, {numbers({6})}, 4);
}

TEST(EveryCut, ABoundaryValueThatIsAViewOfAnother) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = torch.relu(x)\n"
      "  v = y.t()\n"
      "  v[0].fill_(4)\n"
      "  s = y.sum() + v[1].prod()\n"
      "  y.add_(s)\n"
      "  return v * y.t()\n");
  const auto count = check_every_cut(module, {numbers({3, 4})});
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_GT(count.legal, count.layers);
}

TEST(EveryCut, AWriteIntoTheModelsInput) {
  const auto module = script(
      "def forward(self, x, y):\n"
      "  a = torch.relu(x)\n"
      "  x.add_(y)\n"
      "  y[0].zero_()\n"
      "  return a * x + y\n");
  const auto count = check_every_cut(module, {numbers({4}, 1), numbers({4}, 2)});
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_GT(count.legal, count.layers);
}

TEST(EveryCut, OneInputThatIsAViewOfAnother) {
  // The write into x is seen through y, on every side of a cut.
  const auto module = script(
      "def forward(self, x, y):\n"
      "  a = torch.exp(y)\n"
      "  x.mul_(2)\n"
      "  return a + torch.relu(y)\n");
  const auto base = numbers({6});
  const auto model = load(module, {numbers({6}), numbers({3})});
  auto copy = module.deepcopy();
  copy.eval();
  auto frozen = torch::jit::freeze(copy);
  const auto oracle_base = base.clone();
  const auto expected = to_value(frozen.forward({oracle_base, oracle_base.slice(0, 2, 5)}));
  for (const auto& set : closed_sets(model->layers())) {
    const auto stages = model->split({Cut::of(set)});
    EXPECT_TRUE(bit_identical(run_stages(*model, stages, {Value(base), Value(base.slice(0, 2, 5))}), expected))
        << ::testing::PrintToString(set);
  }
  EXPECT_TRUE(base.equal(numbers({6})));
}

constexpr const char* control_flow =
    "def forward(self, x, limit: float):\n"
    "  y = torch.relu(x)\n"
    "  if bool(y.sum() > 1.0):\n"
    "    y = y * 2\n"
    "  else:\n"
    "    y = torch.sigmoid(y) - 3\n"
    "  while bool(y.sum() < limit):\n"
    "    y = y + 1.5\n"
    "  return torch.tanh(y), y.size(0)\n";

TEST(EveryCut, IfAndWhileOnData) {
  const auto module = script(control_flow);
  for (const double limit : {-100.0, 20.0}) {
    for (const double shift : {0.0, -5.0}) {
      const auto count = check_every_cut(module, {numbers({4}) + shift, limit});
      EXPECT_THAT(count.refused, IsEmpty());
      EXPECT_GT(count.legal, count.layers);
    }
  }
  const auto model = load(module, {numbers({4}), 20.0});
  std::vector<std::string> flow;
  for (const auto& layer : model->layers().layers) {
    if (layer.control_flow) flow.push_back(layer.operator_name);
  }
  EXPECT_THAT(flow, ElementsAre("prim::If", "prim::Loop"));
}

TEST(EveryCut, TheBranchNotTakenInTheExample) {
  const auto module = script(control_flow);
  const auto count = check_every_cut(module, {numbers({4}) - 5.0, 20.0}, {numbers({4}) + 5.0, -100.0});
  EXPECT_GT(count.legal, count.layers);
}

TEST(EveryCut, InPlaceWritesInsideABranch) {
  const auto module = script(
      "def forward(self, x, flag: bool):\n"
      "  y = torch.relu(x)\n"
      "  v = y[1:]\n"
      "  if flag:\n"
      "    v.mul_(-2)\n"
      "  return torch.exp(y) + v.sum()\n");
  for (const bool flag : {false, true}) {
    const auto count = check_every_cut(module, {numbers({4}), flag});
    EXPECT_THAT(count.refused, IsEmpty());
    EXPECT_GT(count.legal, count.layers);
  }
}

TEST(EveryCut, AListThatGrows) {
  const auto module = script(
      "def forward(self, x):\n"
      "  parts = [torch.relu(x)]\n"
      "  parts.append(x * 2)\n"
      "  y = torch.cat(parts)\n"
      "  parts.append(torch.exp(y))\n"
      "  return torch.cat(parts), len(parts)\n");
  const auto count = check_every_cut(module, {numbers({4})});
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_GT(count.legal, count.layers);
}

TEST(EveryCut, AListThatGrowsInALoop) {
  const auto module = script(
      "def forward(self, x, n: int):\n"
      "  parts: List[Tensor] = []\n"
      "  for i in range(n):\n"
      "    parts.append(torch.relu(x) + i)\n"
      "  y = torch.stack(parts)\n"
      "  return y.sum(0) * len(parts), parts\n");
  const auto count = check_every_cut(module, {numbers({4}), std::int64_t{3}});
  EXPECT_GT(count.legal, 1U);
}

TEST(EveryCut, NestedDictsAndTuplesInAndOut) {
  const auto module = script(
      "def forward(self, d: Dict[str, Tensor], t: Tuple[Tensor, Tuple[Tensor, int]], l: List[Tensor]):\n"
      "  a = d[\"a\"] + t[0]\n"
      "  b = torch.relu(t[1][0]) * t[1][1]\n"
      "  c = torch.exp(l[1])\n"
      "  return {\"sum\": a + b, \"c\": c}, (a, [b, c]), d[\"b\"]\n");
  c10::Dict<std::string, at::Tensor> dict;
  dict.insert("b", numbers({3}, 1));
  dict.insert("a", numbers({3}, 2));
  const auto tuple =
      c10::ivalue::Tuple::create({numbers({3}, 3), c10::ivalue::Tuple::create({numbers({3}, 4), std::int64_t{5}})});
  const auto count = check_every_cut(module, {dict, tuple, c10::List<at::Tensor>({numbers({2}), numbers({3}, 5)})});
  EXPECT_EQ(count.layers, 5U);
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_GT(count.legal, 6U);
}

TEST(EveryCut, ADictThatIsChangedInPlace) {
  const auto module = script(
      "def forward(self, x):\n"
      "  d = {\"x\": torch.relu(x)}\n"
      "  y = torch.exp(d[\"x\"])\n"
      "  d[\"y\"] = y\n"
      "  z = torch.tanh(d[\"y\"])\n"
      "  d[\"x\"] = z\n"
      "  return d\n");
  const auto count = check_every_cut(module, {numbers({3})});
  EXPECT_GT(count.legal, 1U);
}

TEST(EveryCut, IntegersStringsAndNoneCross) {
  const auto module = script(
      "def forward(self, x, mode: str, bias: Optional[Tensor], power: int):\n"
      "  y = torch.relu(x)\n"
      "  n = y.size(0) * power\n"
      "  z = torch.exp(y)\n"
      "  if mode == \"double\":\n"
      "    z = z * 2\n"
      "  if bias is not None:\n"
      "    z = z + bias\n"
      "  return z * n, mode, n, bias\n");
  for (const auto* mode : {"double", "single"}) {
    for (const auto& bias : {c10::IValue(), c10::IValue(numbers({4}, 3))}) {
      const auto count = check_every_cut(module, {numbers({4}), mode, bias, std::int64_t{3}});
      EXPECT_THAT(count.refused, IsEmpty());
      EXPECT_GT(count.legal, count.layers);
    }
  }
}

TEST(EveryCut, ComplexTensorsCross) {
  const auto module = script(
      "def forward(self, x):\n"
      "  f = torch.fft_rfft(x)\n"
      "  g = f * f\n"
      "  return torch.abs(g), g\n");
  const auto count = check_every_cut(module, {numbers({8})});
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_EQ(count.legal, count.layers + 1);
}

TEST(EveryCut, SharedParameters) {
  const auto shared = linear(4, 4);
  const auto module = script(
      "def forward(self, x):\n  return self.b.forward(torch.relu(self.a.forward(x))) + torch.linear(x, self.w)\n",
      {{"w", shared.attr("weight").toTensor()}}, {{"a", shared}, {"b", shared}});
  expect_all_legal(module, {numbers({2, 4})}, 5);
}

TEST(EveryCut, NanAndInfinity) {
  auto x = numbers({2, 4});
  x[0][0] = std::numeric_limits<float>::quiet_NaN();
  x[0][1] = std::numeric_limits<float>::infinity();
  x[1][0] = -std::numeric_limits<float>::infinity();
  const std::uint32_t payload = 0xffc12345;
  std::memcpy(x[1][1].mutable_data_ptr(), &payload, sizeof(payload));
  const auto module = script("def forward(self, x):\n  y = x * 1.0\n  z = -y\n  return z, torch.relu(y) + z, x\n");
  expect_all_legal(module, {x}, 4);
}

TEST(EveryCut, AnotherBatchSizeThanTheExamples) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = self.c.forward(x)\n"
      "  return self.d.forward(y.view([y.size(0), -1, 6]).transpose(1, 2)) * y.size(0)\n",
      {}, {{"c", conv(3, 2)}, {"d", linear(10, 3)}});
  for (const std::int64_t batch : {1, 5}) {
    const auto count = check_every_cut(module, {numbers({batch, 3, 5, 6})}, {numbers({2, 3, 5, 6})});
    EXPECT_GT(count.legal, count.layers);
  }
}

TEST(EveryCut, TrainingModeIsLeftBehind) {
  const auto module =
      script("def forward(self, x):\n  y = torch.dropout(torch.relu(x), 0.5, self.training)\n  return torch.exp(y)\n");
  const auto count = check_every_cut(module, {numbers({100})});
  EXPECT_THAT(count.refused, IsEmpty());
  EXPECT_TRUE(module.attr("training").toBool()) << "the caller's module was changed";
}

TEST(EveryCut, TwoCuts) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = torch.relu(x)\n"
      "  a = y[:2]\n"
      "  b = torch.exp(y)\n"
      "  a.add_(1)\n"
      "  return b * y, a\n");
  const std::vector<c10::IValue> inputs = {numbers({5})};
  const auto expected = uncut(module, inputs);
  const auto model = load(module, inputs);
  const auto sets = closed_sets(model->layers());
  std::size_t pairs = 0;
  for (const auto& first : sets) {
    for (const auto& second : sets) {
      if (!std::includes(second.begin(), second.end(), first.begin(), first.end())) continue;
      ++pairs;
      const auto stages = model->split({Cut::of(first), Cut::of(second)});
      ASSERT_EQ(stages.size(), 3U);
      EXPECT_EQ(stages[1]->info().inputs.size(), stages[0]->info().boundary_count);
      EXPECT_TRUE(bit_identical(run_stages(*model, stages, values_of(inputs)), expected))
          << ::testing::PrintToString(first) << " and " << ::testing::PrintToString(second);
    }
  }
  EXPECT_GT(pairs, sets.size());
}

TEST(EveryCut, OutputsKnownInTheHeadDoNotTravel) {
  const auto module =
      script("def forward(self, x):\n  a = torch.relu(x)\n  b = torch.exp(a)\n  return a, torch.tanh(b)\n");
  const auto model = load(module, {numbers({3})});
  const auto stages = model->split({Cut::after("exp")});
  EXPECT_EQ(stages[0]->info().boundary_count, 1U) << "only exp's output";
  EXPECT_THAT(stages[0]->info().result_slots, ElementsAre(0U));
  EXPECT_THAT(stages[1]->info().result_slots, ElementsAre(1U));
}

// --- Refused -----------------------------------------------------------------------------------------------

TEST(Partitioner, StateThatForwardChangesIsNamed) {
  auto counting = script("def forward(self, x):\n  y = torch.relu(x)\n  self.seen = self.seen + y\n  return y\n", {},
                         {}, {{"seen", at::zeros({3})}});
  EXPECT_TRUE(throws(ErrorCode::unsupported_model, "'seen'", [&] { load(counting, {numbers({3})}); }));
  const auto adding = script("def forward(self, x):\n  self.seen.add_(1)\n  return torch.relu(x) + self.seen\n", {}, {},
                             {{"seen", at::zeros({3})}});
  EXPECT_TRUE(throws(ErrorCode::unsupported_model, "add_", [&] { load(adding, {numbers({3})}); }));
  EXPECT_TRUE(adding.attr("seen").toTensor().equal(at::zeros({3}))) << "the caller's buffer was changed";
  const auto through_view =
      script("def forward(self, x):\n  v = self.seen[1:]\n  v.copy_(x)\n  return torch.relu(self.seen)\n", {}, {},
             {{"seen", at::zeros({3})}});
  EXPECT_TRUE(throws(ErrorCode::unsupported_model, "copy_", [&] { load(through_view, {numbers({2})}); }));
}

TEST(Partitioner, RandomNumbersAfterTheCutAreRefused) {
  const auto module =
      script("def forward(self, x):\n  y = torch.relu(x)\n  r = torch.rand_like(y)\n  return torch.exp(r) + y\n");
  const auto model = load(module, {numbers({4})});
  ASSERT_EQ(operators(*model).at(1), "aten::rand_like");
  const auto refusal = model->refusal({{0}});
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, RefusalReason::random_numbers_after_cut);
  EXPECT_THAT(refusal->detail, HasSubstr("rand_like"));
  EXPECT_TRUE(throws(ErrorCode::unsupported_model, "random_numbers_after_cut",
                     [&] { return model->split({Cut::after_index(0)}); }));

  // Before the cut they are drawn where the uncut model would draw them.
  EXPECT_FALSE(model->refusal({{0, 1}}));
  at::manual_seed(7);
  const auto expected = uncut(module, {numbers({4})});
  at::manual_seed(7);
  EXPECT_TRUE(bit_identical(run_stages(*model, model->split({Cut::after_index(1)}), {Value(numbers({4}))}), expected));
}

TEST(Partitioner, AValueThatNoMessageCarriesIsRefused) {
  const auto module = script("def forward(self, x):\n  return torch.exp(torch.relu(x).to_sparse().to_dense())\n");
  const auto count = check_every_cut(module, {numbers({3, 3})});
  ASSERT_EQ(count.refused.size(), 1U);
  EXPECT_EQ(count.refused[0].reason, RefusalReason::value_cannot_travel);
  EXPECT_THAT(count.refused[0].detail, HasSubstr("to_sparse"));
  EXPECT_EQ(count.legal, count.layers);
}

TEST(Partitioner, AListThatTwoBoundaryValuesShareAndATailChangesIsRefused) {
  const auto module = script(
      "def forward(self, x, flag: bool):\n"
      "  a = [x * 2]\n"
      "  b = [x * 3]\n"
      "  c = a if flag else b\n"
      "  y = torch.relu(x)\n"
      "  c.append(y)\n"
      "  return torch.cat(a) , torch.cat(c), torch.cat(b)\n");
  for (const bool flag : {false, true}) {
    const auto count = check_every_cut(module, {numbers({3}), flag});
    for (const auto& refusal : count.refused) EXPECT_EQ(refusal.reason, RefusalReason::shared_container_written);
    EXPECT_THAT(count.refused, ::testing::Not(IsEmpty()));
  }
}

TEST(Partitioner, AModuleWithoutATrainingFlagIsAsGood) {
  torch::jit::Module module("Bare");
  module.register_parameter("w", numbers({4, 4}), /*is_buffer=*/false);
  module.define("def forward(self, x):\n  return torch.relu(torch.linear(x, self.w))\n");
  const auto model = load(module, {numbers({2, 4})});
  const auto expected = at::relu(at::linear(numbers({2, 4}), numbers({4, 4})));
  const auto output = run_stages(*model, model->split({Cut::after_index(0)}), {Value(numbers({2, 4}))});
  EXPECT_TRUE(bit_identical(output, Value(expected)));
}

TEST(Partitioner, AModuleThatComputesNoTensorIsRefused) {
  const auto module = script("def forward(self, x):\n  return x\n");
  EXPECT_TRUE(throws(ErrorCode::unsupported_model, "no operator", [&] { load(module, {numbers({3})}); }));
  EXPECT_TRUE(throws(ErrorCode::unsupported_model, "'forward'",
                     [] { Partitioner::from_module(script("def other(self, x):\n  return torch.relu(x)\n")); }));
}

// --- Examples and bound inputs -----------------------------------------------------------------------------

TEST(Partitioner, ExamplesThatDoNotFitForwardAreRefused) {
  const auto module = testing::perceptron();
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "takes 1 inputs, found 2", [&] {
    load(module, {numbers({2, 4}), numbers({1})});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "Tensor", [&] { load(module, {std::int64_t{3}}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "mat1 and mat2 shapes cannot be multiplied (2x5 and 4x6)", [&] {
    load(module, {numbers({2, 5})});
  }));
}

TEST(Partitioner, TheExamplesStayAsTheyAre) {
  const auto module = script("def forward(self, x):\n  x.add_(1)\n  return torch.relu(x)\n");
  const auto example = numbers({4});
  load(module, {example});
  EXPECT_TRUE(example.equal(numbers({4})));
}

constexpr const char* two_ways =
    "def forward(self, x, fast: bool):\n"
    "  if fast:\n"
    "    y = torch.relu(x)\n"
    "  else:\n"
    "    y = torch.exp(torch.exp(x))\n"
    "  return torch.tanh(y)\n";

TEST(Partitioner, ABoundInputUnfoldsItsIf) {
  const auto module = script(two_ways);
  EXPECT_THAT(operators(*load(module, {numbers({4}), true})), ElementsAre("prim::If", "aten::tanh"));
  const PartitionerOptions bound{.bind_inputs = {1}};
  EXPECT_THAT(operators(*load(module, {numbers({4}), true}, bound)), ElementsAre("aten::relu", "aten::tanh"));
  const auto slow = load(module, {numbers({4}), false}, bound);
  EXPECT_THAT(operators(*slow), ElementsAre("aten::exp", "aten::exp", "aten::tanh"));

  const std::vector<c10::IValue> inputs = {numbers({4}, 9), false};
  const auto stages = slow->split({Cut::after_index(0)});
  EXPECT_TRUE(bit_identical(run_stages(*slow, stages, values_of(inputs)), uncut(module, inputs)));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 1 was bound to another value", [&] {
    return run_stages(*slow, stages, {Value(numbers({4})), Value(true)});
  }));
}

TEST(Partitioner, ABindingWithoutAnExampleIsRefused) {
  const auto module = script(two_ways);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 2 can't be bound", [&] {
    load(module, {numbers({4}), true}, {.bind_inputs = {2}});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "", [&] {
    load(module, {numbers({4}), true, true}, {.bind_inputs = {2}});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "bool", [&] {
    load(module, {numbers({4}), 0.5}, {.bind_inputs = {1}});
  }));
}

// --- Fingerprint -------------------------------------------------------------------------------------------

TEST(Fingerprint, TwoLoadsOfOneFileAgree) {
  const TemporaryFile file("model.pt");
  testing::perceptron().save(file.path());
  const auto first = Partitioner::load(file.path(), {Value(numbers({2, 4}))});
  const auto second = Partitioner::load(file.path());
  EXPECT_EQ(first->fingerprint(), second->fingerprint()) << "examples have no part in it";
  EXPECT_EQ(first->fingerprint().size(), 32U);
  EXPECT_EQ(first->layers().layers.size(), second->layers().layers.size());
}

TEST(Fingerprint, OneBitOfOneParameterChangesIt) {
  const auto with = [](float element) {
    auto weight = at::ones({4, 4});
    weight[2][1] = element;
    return load(script("def forward(self, x):\n  return torch.linear(x, self.w)\n", {{"w", weight}}), {numbers({1, 4})})
        ->fingerprint();
  };
  EXPECT_EQ(with(0.5F), with(0.5F));
  EXPECT_NE(with(0.5F), with(std::nextafter(0.5F, 1.0F)));
  EXPECT_NE(with(0.0F), with(-0.0F));
}

TEST(Fingerprint, AnotherForwardChangesIt) {
  const auto of = [](const std::string& operation) {
    return load(script("def forward(self, x):\n  return torch." + operation + "(x)\n"), {numbers({3})})->fingerprint();
  };
  EXPECT_NE(of("relu"), of("tanh"));
}

// --- Model files -------------------------------------------------------------------------------------------

TEST(ModelFile, MissingEmptyOrForeignFilesAreToldApart) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "/nowhere/model.pt", [] { Partitioner::load("/nowhere/model.pt"); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "http", [] { Partitioner::load("http://example.com/model.pt"); }));
  const TemporaryFile file("model.pt");
  file.write("");
  EXPECT_TRUE(throws(ErrorCode::corrupt, "is empty", [&] { Partitioner::load(file.path()); }));
  file.write("this is a poem, not a model\n");
  EXPECT_TRUE(throws(ErrorCode::corrupt, "(28 bytes) is not an intact TorchScript file",
                     [&] { Partitioner::load(file.path()); }));
  file.write(std::string("PK\3\4") + std::string(5000, '\0'));
  EXPECT_TRUE(throws(ErrorCode::corrupt, file.path(), [&] { Partitioner::load(file.path()); }));
}

TEST(ModelFile, ExampleInputsOfAnotherShapeAreRefusedInALine) {
  const auto error = testing::error_of([] { load(testing::perceptron(), {numbers({2, 5})}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error->what(), AllOf(StartsWith("the example inputs do not fit forward"), HasSubstr("mat1 and mat2"),
                                   Not(HasSubstr("\n"))));
}

TEST(ModelFile, ADirectoryIsNoModel) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "'/tmp' is a directory", [] { Partitioner::load("/tmp"); }));
}

TEST(ModelFile, ATruncatedFileIsCorrupt) {
  const TemporaryFile file("model.pt");
  testing::perceptron().save(file.path());
  const auto whole = file.read();
  for (const double part : {0.01, 0.2, 0.5, 0.8, 0.99}) {
    file.write(whole.substr(0, static_cast<std::size_t>(part * static_cast<double>(whole.size()))));
    EXPECT_TRUE(throws(ErrorCode::corrupt, file.path(), [&] { Partitioner::load(file.path()); })) << part;
  }
  file.write(whole.substr(0, whole.size() - 1));
  EXPECT_TRUE(throws(ErrorCode::corrupt, file.path(), [&] { Partitioner::load(file.path()); }));
}

TEST(ModelFile, AChangedParameterByteIsCaughtByFileOrFingerprint) {
  const TemporaryFile file("model.pt");
  testing::perceptron().save(file.path());
  const auto fingerprint = Partitioner::load(file.path())->fingerprint();
  auto bytes = file.read();
  const auto weight = testing::perceptron().attr("head").toModule().attr("weight").toTensor();
  const auto at = bytes.find(std::string(static_cast<const char*>(weight.const_data_ptr()), weight.nbytes()));
  ASSERT_NE(at, bytes.npos);
  bytes[at + 5] = static_cast<char>(bytes[at + 5] ^ 4);
  file.write(bytes);
  try {
    EXPECT_NE(Partitioner::load(file.path())->fingerprint(), fingerprint);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt) << error.what();
  }
}

// --- Prepared models ------------------------------------------------------------------------------------

TEST(PreparedModel, IsTheSameModel) {
  const TemporaryFile original("perceptron.pt");
  const TemporaryFile prepared("perceptron.prepared");
  testing::perceptron().save(original.path());
  Partitioner::prepare(original.path(), prepared.path());
  const std::vector<c10::IValue> inputs = {numbers({2, 4})};
  const auto model = Partitioner::load(prepared.path(), values_of(inputs));
  const auto from_original = Partitioner::load(original.path(), values_of(inputs));
  EXPECT_EQ(model->layers(), from_original->layers());
  EXPECT_EQ(model->result_shape(), from_original->result_shape());
  const Value expected = run_stages(*from_original, from_original->split({}), values_of(inputs));
  for (std::size_t i = 0; i < model->layers().layers.size(); ++i) {
    EXPECT_TRUE(bit_identical(run_stages(*model, model->split({Cut::after_index(i)}), values_of(inputs)), expected));
  }
}

// A head of one and a tail of the other belong together.
TEST(PreparedModel, ItsStagesFitThoseOfItsOriginal) {
  const TemporaryFile original("perceptron.pt");
  const TemporaryFile prepared("perceptron.prepared");
  testing::perceptron().save(original.path());
  Partitioner::prepare(original.path(), prepared.path());
  const auto device = Partitioner::load(original.path());
  const auto worker = Partitioner::load(prepared.path());
  const StageKey key{{device->layers().resolve(Cut::after("features.first"))}, 0};
  const auto head = device->make_stage(key);
  const auto tail = worker->make_stage({key.cuts, 1});
  EXPECT_EQ(head->info().fingerprint, tail->info().fingerprint);
  const auto results = tail->run(head->run(values_of({numbers({2, 4})})));
  const auto expected = device->split({}).at(0)->run(values_of({numbers({2, 4})}));
  ASSERT_EQ(results.size(), 1U);
  EXPECT_TRUE(bit_identical(results[0], expected.at(0)));
}

TEST(PreparedModel, RefusesWhatItCannotDo) {
  const TemporaryFile original("perceptron.pt");
  const TemporaryFile prepared("perceptron.prepared");
  testing::perceptron().save(original.path());
  Partitioner::prepare(original.path(), prepared.path());
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "can't be bound", [&] {
    (void)Partitioner::load(prepared.path(), values_of({numbers({2, 4})}), {.bind_inputs = {0}});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "", [&] { Partitioner::prepare("/nonexistent", prepared.path()); }));
  EXPECT_TRUE(throws(ErrorCode::unavailable, "can't be written",
                     [&] { Partitioner::prepare(original.path(), "/nonexistent/x"); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "is prepared already",
                     [&] { Partitioner::prepare(prepared.path(), prepared.path()); }));
}

TEST(PreparedModel, OfAnotherTorchAreRefused) {
  const TemporaryFile prepared("perceptron.prepared");
  detail::write_archive(prepared.path(), detail::make_tuple({std::string("torch 0.1"), std::string("abc"), 7}),
                        detail::model_archive);
  std::string words;
  EXPECT_EQ(testing::thrown_code([&] { (void)Partitioner::load(prepared.path()); }, &words), ErrorCode::incompatible);
  EXPECT_NE(words.find("prepared by \"torch 0.1\", this is torch "), std::string::npos) << words;
  EXPECT_NE(words.find("prepare it again"), std::string::npos) << words;
}

TEST(PreparedModel, IsThereWhenItIsWhole) {
  namespace fs = std::filesystem;
  const TemporaryFile original("perceptron.pt");
  testing::perceptron().save(original.path());
  const TemporaryFile folder("folder");
  fs::create_directory(folder.path());
  const auto files = [&] {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) names.push_back(entry.path().filename());
    return names;
  };
  const fs::path prepared = fs::path(folder.path()) / "prepared";
  std::ofstream(prepared) << "what was there before";
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "", [&] { Partitioner::prepare("/nonexistent", prepared); }));
  EXPECT_EQ(fs::file_size(prepared), 21U);
  Partitioner::prepare(original.path(), prepared);
  EXPECT_NO_THROW((void)Partitioner::load(prepared));
  EXPECT_EQ(files(), std::vector<std::string>{"prepared"}) << "nothing is left beside it";
  fs::remove(prepared);
  fs::create_directories(prepared / "in the way");
  EXPECT_TRUE(
      throws(ErrorCode::unavailable, "can't be written", [&] { Partitioner::prepare(original.path(), prepared); }));
  EXPECT_EQ(files(), std::vector<std::string>{"prepared"});
  fs::remove_all(folder.path());
}

TEST(PreparedModel, DamagedFilesAreFoundOut) {
  const TemporaryFile original("perceptron.pt");
  const TemporaryFile prepared("perceptron.prepared");
  testing::perceptron().save(original.path());
  Partitioner::prepare(original.path(), prepared.path());
  const std::string bytes = prepared.read();
  const TemporaryFile damaged("damaged.prepared");
  for (const std::size_t size : {8UL, 20UL, bytes.size() / 2, bytes.size() - 1}) {
    damaged.write(bytes.substr(0, size));
    EXPECT_TRUE(throws(ErrorCode::corrupt, "prepared model", [&] { (void)Partitioner::load(damaged.path()); })) << size;
  }
  std::string flipped = bytes;
  flipped[bytes.size() / 2] = static_cast<char>(flipped[bytes.size() / 2] ^ 1);
  damaged.write(flipped);
  EXPECT_TRUE(throws(ErrorCode::corrupt, "hash", [&] { (void)Partitioner::load(damaged.path()); }));
  EXPECT_TRUE(throws(ErrorCode::corrupt, "stage file", [&] { (void)load_stage(prepared.path()); }));
}

}  // namespace
}  // namespace splitnet
