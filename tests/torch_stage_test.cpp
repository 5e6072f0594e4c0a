// SPDX-License-Identifier: Apache-2.0
#include "splitnet/torch_stage.hpp"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "error_of.hpp"
#include "graph_archive.hpp"
#include "splitnet/message.hpp"
#include "splitnet/session.hpp"
#include "splitnet/worker.hpp"
#include "temporary_file.hpp"
#include "torch_modules.hpp"

namespace splitnet {
namespace {

using testing::closed_sets;
using testing::conv;
using testing::error_of;
using ::testing::HasSubstr;
using testing::linear;
using ::testing::Not;
using testing::numbers;
using testing::script;
using testing::TemporaryFile;
using testing::throws;
using testing::uncut;
using testing::values_of;

std::shared_ptr<const Model> load(const torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  return Partitioner::from_module(module, values_of(inputs));
}

std::shared_ptr<const Model> perceptron() {
  return load(testing::perceptron(), {numbers({2, 4})});
}

std::vector<Value> moved(Value value) {
  std::vector<Value> values;
  values.push_back(std::move(value));
  return values;
}

// --- What a stage takes --------------------------------------------------------------------------------------

TEST(TorchStage, TheNumberOfInputsIsChecked) {
  const auto stages = perceptron()->split({Cut::after_index(0)});
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "stage 1 of 2 takes 1 inputs, found 2", [&] {
    return stages[0]->run({Value(numbers({2, 4})), Value(1)});
  }));
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "stage 2 of 2 takes 1 inputs, found 0", [&] { return stages[1]->run({}); }));
}

TEST(TorchStage, DtypeAndRankOfAnInputAreChecked) {
  const auto stages = perceptron()->split({Cut::after_index(0)});
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 0 has dtype f64, expected f32", [&] {
    return stages[0]->run({Value(numbers({2, 4}).to(at::kDouble))});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 0 has 3 dimensions (tensor f32[1, 2, 4]), expected 2", [&] {
    return stages[0]->run({Value(numbers({1, 2, 4}))});
  }));
  const auto boundary = error_of([&] { return stages[1]->run({Value(at::zeros({2, 6}, at::kLong))}); });
  ASSERT_TRUE(boundary);
  EXPECT_THAT(boundary->what(), HasSubstr("made by 'features.first' has dtype i64, expected f32"));
}

TEST(TorchStage, TheTypeOfAnInputIsChecked) {
  const auto module =
      script("def forward(self, x, n: int, name: str, many: List[Tensor]):\n  return torch.relu(x) * n + many[0]\n");
  const std::vector<c10::IValue> inputs = {numbers({3}), std::int64_t{2}, "a", c10::List<at::Tensor>({numbers({3})})};
  const auto model = load(module, inputs);
  const auto stages = model->split({});
  const auto with = [&](std::size_t index, Value wrong) {
    auto values = values_of(inputs);
    values[index] = std::move(wrong);
    return [&, values] { return stages[0]->run(values); };
  };
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "input 0: expected a value of type Tensor, found", with(0, Value(1))));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 1: expected a value of type int, found", with(1, Value(0.5))));
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "input 2: expected a value of type str, found", with(2, Value(None{}))));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 3: expected a value of type", with(3, Value(numbers({3})))));
  EXPECT_TRUE(bit_identical(run_stages(*model, stages, values_of(inputs)), uncut(module, inputs)));
}

TEST(TorchStage, AShapeThatAnOperatorRefusesGivesTheOperatorsWords) {
  const auto module = script("def forward(self, x):\n  return self.b.forward(torch.relu(self.a.forward(x)))\n", {},
                             {{"a", conv(3, 4)}, {"b", conv(4, 2)}});
  const auto model = load(module, {numbers({1, 3, 5, 5})});
  const auto stages = model->split({Cut::after("a")});
  const auto error = error_of([&] { return stages[0]->run({Value(numbers({1, 2, 5, 5}))}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error->what(), HasSubstr("stage 1 of 2 failed"));
  EXPECT_THAT(error->what(), HasSubstr("expected input[1, 2, 5, 5] to have 3 channels, but got 2 channels"));
  EXPECT_THAT(error->what(), Not(HasSubstr("Traceback")));
  EXPECT_THAT(error->what(), Not(HasSubstr("\n")));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "to have 4 channels", [&] {
    return stages[1]->run({Value(numbers({1, 7, 5, 5}))});
  }));
  // The stage is none the worse for it.
  EXPECT_TRUE(bit_identical(run_stages(*model, stages, {Value(numbers({1, 3, 5, 5}))}),
                            uncut(module, {numbers({1, 3, 5, 5})})));
}

TEST(TorchStage, WhatForwardRaisesArrives) {
  const auto module = script(
      "def forward(self, x):\n"
      "  y = torch.relu(x)\n"
      "  assert y.size(0) <= 4, \"more than four rows\"\n"
      "  return torch.exp(y)\n");
  const auto stages = load(module, {numbers({3})})->split({});
  const auto error = error_of([&] { return stages[0]->run({Value(numbers({5}))}); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code(), ErrorCode::invalid_argument);
  EXPECT_THAT(error->what(), HasSubstr("more than four rows"));
}

TEST(TorchStage, AnIndexBeyondAListArrives) {
  const auto module = script("def forward(self, l: List[Tensor]):\n  return torch.exp(l[2])\n");
  const auto stages = load(module, {c10::List<at::Tensor>({numbers({1}), numbers({1}), numbers({1})})})->split({});
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "index",
                     [&] { return stages[0]->run({Value(List{{Value(numbers({1}))}})}); }));
}

// --- Whose bytes -----------------------------------------------------------------------------------------------

const char* const writing = "def forward(self, x):\n  x.add_(1)\n  return torch.relu_(x)\n";

TEST(TorchStage, AnInputThatTheCallerHoldsIsNotChanged) {
  for (const int threads : {0, 1}) {
    const auto stages = load(script(writing), {numbers({4})})->split({}, {.threads = threads});
    const auto held = numbers({4});
    const auto outputs = stages[0]->run({Value(held)});
    EXPECT_TRUE(held.equal(numbers({4})));
    EXPECT_TRUE(to_torch(outputs.at(0).tensor()).equal(at::relu(numbers({4}) + 1)));
  }
}

TEST(TorchStage, AnInputThatWasMovedInIsWrittenWhereItLies) {
  const auto stages = load(script(writing), {numbers({4})})->split({});
  auto torch = numbers({4});
  const auto* data = torch.const_data_ptr();
  Value value(torch);
  torch = at::Tensor();
  const auto outputs = stages[0]->run(moved(std::move(value)));
  EXPECT_EQ(outputs.at(0).tensor().data(), data);
}

TEST(TorchStage, ADecodedMessageIsWrittenWhereItLies) {
  const auto stages = load(script(writing), {numbers({4})})->split({});
  Message message;
  message.values = {Value(numbers({4})), Value(numbers({4}, 2))};
  const auto joined = encode(message).join();
  auto decoded = decode({joined.data(), joined.size_bytes()});
  decoded.values.pop_back();
  const auto* data = decoded.values[0].tensor().data();
  const auto outputs = stages[0]->run(std::move(decoded.values));
  EXPECT_EQ(outputs.at(0).tensor().data(), data);
}

TEST(TorchStage, AnInputThatPassesThroughIsNotCopied) {
  const auto module = script("def forward(self, x, y):\n  return torch.exp(torch.relu(x)) + y, y\n");
  const auto stages = load(module, {numbers({4}), numbers({4})})->split({Cut::after_index(0)});
  const auto held = numbers({4}, 2);
  const auto outputs = stages[0]->run({Value(numbers({4})), Value(held)});
  std::size_t passed = 0;
  for (const auto& output : outputs)
    passed += output.tensor().data() == static_cast<const std::byte*>(held.const_data_ptr());
  EXPECT_EQ(passed, outputs.size() - 1) << "all but relu's";
}

TEST(TorchStage, AStageOutlivesItsModelAndModule) {
  const std::vector<c10::IValue> inputs = {numbers({2, 4})};
  auto model = perceptron();
  const auto expected = run_stages(*model, model->split({}), values_of(inputs));
  const auto stages = model->split({});
  model.reset();
  EXPECT_TRUE(bit_identical(stages[0]->run(values_of(inputs)).at(0), expected));
}

TEST(TorchStage, StagesShareParametersWithTheModel) {
  auto weight = numbers({4, 4});
  const auto module = script("def forward(self, x):\n  return torch.linear(torch.relu(x), self.w)\n", {{"w", weight}});
  const auto model = load(module, {numbers({1, 4})});
  const auto stages = model->split({Cut::after_index(0)});
  EXPECT_EQ(stages[0]->info().parameter_bytes, 0);
  EXPECT_EQ(stages[1]->info().parameter_bytes, 64);
  EXPECT_EQ(stages[1]->info().fingerprint, model->fingerprint());
}

// --- Threads ---------------------------------------------------------------------------------------------------

int count_of_new_thread() {
  int count = 0;
  std::thread([&] { count = at::get_num_threads(); }).join();
  return count;
}

TEST(TorchStage, TheHostsSettingsStayAsTheyWere) {
  const auto module = script("def forward(self, x):\n  return torch.exp(torch.matmul(torch.relu(x), x.t()))\n");
  const std::vector<c10::IValue> inputs = {numbers({64, 300})};
  for (const int host : {1, 2}) {
    at::set_num_threads(host);
    const bool profiling = torch::jit::getProfilingMode();
    const bool executor = torch::jit::getExecutorMode();
    const bool gradients = at::GradMode::is_enabled();
    for (const int threads : {0, 1, 3}) {
      SCOPED_TRACE(threads);
      const auto model = load(module, inputs);
      const auto stages = model->split({Cut::after_index(0)}, {.threads = threads});
      run_stages(*model, stages, values_of(inputs));
      EXPECT_TRUE(error_of([&] { return stages[0]->run({}); }));
      EXPECT_TRUE(error_of([&] { return stages[1]->run({Value(numbers({2, 2})), Value(numbers({2, 3}))}); }));
      EXPECT_EQ(at::get_num_threads(), host);
      EXPECT_EQ(count_of_new_thread(), host);
      EXPECT_EQ(torch::jit::getProfilingMode(), profiling);
      EXPECT_EQ(torch::jit::getExecutorMode(), executor);
      EXPECT_EQ(at::GradMode::is_enabled(), gradients);
    }
  }
}

TEST(TorchStage, ParametersThatNeedGradientsGiveOutputsThatDoNot) {
  const auto module = script("def forward(self, x):\n  return torch.linear(x, self.w)\n",
                             {{"w", numbers({4, 4}).set_requires_grad(true)}});
  const auto stages = load(module, {numbers({1, 4})})->split({});
  const auto outputs = stages[0]->run({Value(numbers({1, 4}))});
  EXPECT_FALSE(to_torch(outputs.at(0).tensor()).requires_grad());
}

TEST(TorchStage, ManyThreadsMayRunOneStage) {
  const auto module = script(
      "def forward(self, x):\n  y = self.a.forward(x)\n  y[:1].mul_(2)\n  x.add_(y.sum())\n  return torch.relu(y) + "
      "x.sum()\n",
      {}, {{"a", linear(4, 4)}});
  const std::vector<c10::IValue> inputs = {numbers({3, 4})};
  const auto expected = uncut(module, inputs);
  const auto model = load(module, inputs);
  for (const int threads : {0, 1}) {
    const auto stages = model->split({Cut::after_index(1)}, {.threads = threads});
    std::vector<std::future<int>> callers;
    for (int caller = 0; caller < 4; ++caller) {
      callers.push_back(std::async(std::launch::async, [&] {
        int same = 0;
        for (int i = 0; i < 50; ++i)
          same += bit_identical(run_stages(*model, stages, values_of(inputs)), expected) ? 1 : 0;
        return same;
      }));
    }
    for (auto& caller : callers) EXPECT_EQ(caller.get(), 50);
  }
}

// --- Saved stages ------------------------------------------------------------------------------------------------

/// Every stage of every cut is saved and loaded again, and gives the same bits.
void check_saved(const torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  const auto expected = uncut(module, inputs);
  const auto model = load(module, inputs);
  std::size_t cuts = 0;
  for (const auto& set : closed_sets(model->layers())) {
    if (model->refusal({set})) continue;
    SCOPED_TRACE("head of " + ::testing::PrintToString(set));
    ++cuts;
    std::vector<std::unique_ptr<Stage>> loaded;
    for (const auto& stage : model->split({Cut::of(set)})) {
      const TemporaryFile file("stage");
      stage->save(file.path());
      loaded.push_back(load_stage(file.path(), {.threads = static_cast<int>(cuts % 2)}));
      EXPECT_EQ(loaded.back()->info(), stage->info());
    }
    EXPECT_TRUE(bit_identical(run_stages(*model, loaded, values_of(inputs)), expected));
  }
  EXPECT_GT(cuts, model->layers().layers.size());
}

TEST(SavedStage, GivesTheSameBits) {
  check_saved(testing::perceptron(), {numbers({2, 4})});
  check_saved(
      script(
          "def forward(self, x):\n  y = self.c.forward(x)\n  a = y[:8]\n  a.add_(1)\n  return self.d.forward(y), [a]\n",
          {}, {{"c", linear(4, 5)}, {"d", linear(5, 3)}}),
      {numbers({10, 4})});
}

TEST(SavedStage, KeepsControlFlowAndContainers) {
  check_saved(script("def forward(self, x, d: Dict[str, Tensor], mode: str, bias: Optional[Tensor]):\n"
                     "  y = torch.relu(x) * float('inf')\n"
                     "  if bool(y.sum() > 1.0) and mode == \"a\\nb\":\n"
                     "    y = y + d[\"k\"]\n"
                     "  while bool(x.sum() < 9.5):\n"
                     "    x = x + 1.5\n"
                     "  if bias is not None:\n"
                     "    y = y + bias\n"
                     "  return {\"y\": torch.tanh(y)}, (x, mode)\n"),
              {numbers({4}),
               [] {
                 c10::Dict<std::string, at::Tensor> dict;
                 dict.insert("k", numbers({4}, 2));
                 return dict;
               }(),
               "a\nb", c10::IValue()});
}

TEST(SavedStage, ChecksItsInputsAndItsBoundOnesToo) {
  const auto module = script("def forward(self, x, n: int):\n  return torch.exp(torch.relu(x)) * n\n");
  const auto model = Partitioner::from_module(module, {Value(numbers({3})), Value(2)}, {.bind_inputs = {1}});
  const TemporaryFile file("stage");
  model->split({})[0]->save(file.path());
  const auto stage = load_stage(file.path());
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 0 has dtype i64, expected f32", [&] {
    return stage->run({Value(at::zeros({3}, at::kLong)), Value(2)});
  }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "input 1 was bound", [&] {
    return stage->run({Value(numbers({3})), Value(3)});
  }));
  EXPECT_TRUE(
      bit_identical(stage->run({Value(numbers({3})), Value(2)}).at(0), uncut(module, {numbers({3}), std::int64_t{2}})));
}

TEST(SavedStage, LeavesTheCallersInputsAlone) {
  const TemporaryFile file("stage");
  load(script(writing), {numbers({4})})->split({})[0]->save(file.path());
  const auto held = numbers({4});
  load_stage(file.path())->run({Value(held)});
  EXPECT_TRUE(held.equal(numbers({4})));
}

TEST(SavedStage, HoldsOnlyTheParametersItNeeds) {
  const auto module = script("def forward(self, x):\n  return self.b.forward(torch.relu(self.a.forward(x)))\n", {},
                             {{"a", linear(4, 300)}, {"b", linear(300, 3)}});
  const auto stages = load(module, {numbers({1, 4})})->split({Cut::after("a")});
  for (const auto& stage : stages) {
    const TemporaryFile file("stage");
    stage->save(file.path());
    const auto bytes = static_cast<std::int64_t>(file.read().size());
    EXPECT_GT(bytes, stage->info().parameter_bytes);
    EXPECT_LT(bytes, stage->info().parameter_bytes + 4000);
  }
}

TEST(SavedStage, APathThatCanNotBeWrittenIsNamed) {
  const auto stages = perceptron()->split({});
  EXPECT_TRUE(throws(ErrorCode::unavailable, "/nowhere/stage", [&] { stages[0]->save("/nowhere/stage"); }));
}

std::string saved_stage(const TemporaryFile& file) {
  perceptron()->split({Cut::after_index(1)})[1]->save(file.path());
  return file.read();
}

TEST(SavedStage, MissingEmptyOrForeignFilesAreToldApart) {
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "/nowhere/stage", [] { load_stage("/nowhere/stage"); }));
  const TemporaryFile file("stage");
  file.write("");
  EXPECT_TRUE(throws(ErrorCode::corrupt, "0 bytes", [&] { load_stage(file.path()); }));
  file.write(std::string(500, 'x'));
  EXPECT_TRUE(throws(ErrorCode::corrupt, "SPLSTAGE", [&] { load_stage(file.path()); }));
  testing::perceptron().save(file.path());
  EXPECT_TRUE(throws(ErrorCode::corrupt, "SPLSTAGE", [&] { load_stage(file.path()); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "is a directory", [] { load_stage("/tmp"); }));
}

TEST(SavedStage, ATruncatedOrLongerFileIsCorrupt) {
  const TemporaryFile file("stage");
  const auto whole = saved_stage(file);
  for (std::size_t length = 0; length < whole.size(); length += length < 80 ? 1 : 97) {
    file.write(whole.substr(0, length));
    EXPECT_TRUE(throws(ErrorCode::corrupt, file.path(), [&] { load_stage(file.path()); })) << length;
  }
  file.write(whole + "x");
  EXPECT_TRUE(throws(ErrorCode::corrupt, "follow", [&] { load_stage(file.path()); }));
}

TEST(SavedStage, AnyFlippedByteIsFound) {
  const TemporaryFile file("stage");
  const auto whole = saved_stage(file);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    file.write(bytes);
    const bool in_version = at >= 8 && at < 12;
    ASSERT_TRUE(throws(in_version ? ErrorCode::incompatible : ErrorCode::corrupt, file.path(),
                       [&] { load_stage(file.path()); }))
        << "byte " << at;
  }
}

TEST(SavedStage, AnIntactArchiveOfSomethingElseIsCorrupt) {
  const TemporaryFile file("stage");
  const auto text = c10::IValue("text");
  const std::vector<c10::IValue> others = {c10::IValue(),
                                           text,
                                           std::int64_t{1},
                                           detail::make_tuple({}),
                                           detail::make_tuple({text, text, text}),
                                           detail::make_tuple({detail::make_tuple({}), detail::make_tuple({}), text})};
  for (const auto& other : others) {
    detail::write_archive(file.path(), other, detail::stage_archive);
    EXPECT_TRUE(throws(ErrorCode::corrupt, "", [&] { load_stage(file.path()); })) << other;
  }
}

TEST(GraphArchive, AGraphComesBackAsItWas) {
  auto module = script(
      "def forward(self, x, l: List[int]):\n"
      "  y = torch.relu(x)\n"
      "  for i in l:\n"
      "    if bool(y.sum() > 0):\n"
      "      y = y + i\n"
      "  return y.view([2, -1]), 1.5, \"text\"\n");
  const auto graph = module.get_method("forward").graph()->copy();
  graph->eraseInput(0);
  const auto back = detail::graph_from_ivalue(detail::graph_to_ivalue(*graph));
  const auto text = [](torch::jit::Graph& g) {
    std::ostringstream out;
    g.print(out, /*print_source_locations=*/false);
    return out.str();
  };
  // Names of values are not kept; printing both anew makes them alike.
  const auto again = detail::graph_from_ivalue(detail::graph_to_ivalue(*back));
  EXPECT_EQ(text(*back), text(*again));
  std::vector<std::string> kinds;
  for (const auto* node : graph->nodes()) kinds.emplace_back(node->kind().toQualString());
  std::vector<std::string> kinds_back;
  for (const auto* node : back->nodes()) kinds_back.emplace_back(node->kind().toQualString());
  EXPECT_EQ(kinds, kinds_back);
}

// --- Gradients -------------------------------------------------------------------------------------------------

std::vector<float> items_of(const Value& value) {
  const at::Tensor tensor = to_torch(value.tensor()).contiguous();
  return {tensor.data_ptr<float>(), tensor.data_ptr<float>() + tensor.numel()};
}

/// Against differences of the stage's own passes, in-place operators and views among them.
TEST(TorchStage, GradientsAreThoseOfDifferences) {
  const auto module = script(
      "def forward(self, x):\n  y = self.a.forward(x)\n  y.mul_(0.5)\n  z = torch.tanh(y) * y\n  z[:1].add_(y[1:2])\n"
      "  return z.sum(1), x.size(0)\n",
      {}, {{"a", linear(4, 3)}});
  const auto model = load(module, {numbers({2, 4})});
  for (const int threads : {0, 1}) {
    const auto stage = model->make_stage({}, {.threads = threads});
    const at::Tensor x = numbers({2, 4});
    const auto pass = stage->differentiate(values_of({x}));
    EXPECT_TRUE(bit_identical(pass->outputs()[0], stage->run(values_of({x}))[0]));
    const Value weights(at::tensor({2.0F, -1.0F}));
    for (int again = 0; again < 2; ++again) {
      const auto found = items_of(pass->gradients({weights, None{}}).at(0));
      const auto sum = [&](double step, std::int64_t i) {
        at::Tensor moved_x = x.clone();
        moved_x.view(-1)[i] += step;
        const auto y = items_of(stage->run(values_of({moved_x}))[0]);
        return 2.0 * y[0] - y[1];
      };
      for (std::int64_t i = 0; i < 8; ++i) {
        EXPECT_NEAR(found[static_cast<std::size_t>(i)], (sum(1e-2, i) - sum(-1e-2, i)) / 2e-2, 2e-3) << i;
      }
    }
  }
}

TEST(TorchStage, GradientsAreNoneWhereNothingDepends) {
  const auto module = script("def forward(self, x, n: int, k):\n  return x * n, k + 1\n");
  const std::vector<c10::IValue> inputs{numbers({3}), std::int64_t{2}, at::ones({2}, at::kLong)};
  const auto stage = load(module, inputs)->make_stage({});
  const auto pass = stage->differentiate(values_of(inputs));
  const auto found = pass->gradients({Value(at::ones({3})), None{}});
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(items_of(found[0]), (std::vector<float>{2, 2, 2}));
  EXPECT_TRUE(std::holds_alternative<None>(found[1].variant()));
  EXPECT_TRUE(std::holds_alternative<None>(found[2].variant()));
  EXPECT_TRUE(std::holds_alternative<None>(pass->gradients({None{}, None{}})[0].variant()));
  EXPECT_TRUE(
      throws(ErrorCode::invalid_argument, "found 1 weights, expected 2", [&] { return pass->gradients({None{}}); }));
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "weight 0 is a tensor f32[2], expected one like the output", [&] {
    return pass->gradients({Value(at::ones({2})), None{}});
  }));
}

// --- Together with worker and session --------------------------------------------------------------------------

TEST(TorchStage, AWorkerRunsTheTailBitByBit) {
  auto x = numbers({6, 4});
  x[0][0] = std::numeric_limits<float>::quiet_NaN();
  x[1][1] = -std::numeric_limits<float>::infinity();
  const auto module = script(
      "def forward(self, x):\n  y = self.a.forward(x)\n  v = y[1:3]\n  v.add_(1)\n  return {\"y\": torch.relu(y)}, v, "
      "y.size(0)\n",
      {}, {{"a", linear(4, 4)}});
  const std::vector<c10::IValue> inputs = {x};
  const auto expected = uncut(module, inputs);
  const auto registry = TransportRegistry::with_defaults();
  const auto worker = Worker::create({.stage = {.threads = 1}});
  worker->add_model("net", load(module, inputs));
  const auto address = worker->serve(registry, "tcp://127.0.0.1:0");
  const auto model = load(module, inputs);
  for (std::size_t layer = 0; layer < model->layers().layers.size(); ++layer) {
    const auto session = Session::open(model, {.worker = address, .cut = Cut::after_index(layer)});
    EXPECT_TRUE(bit_identical(session->run(values_of(inputs)).output, expected)) << layer;
    EXPECT_TRUE(throws(ErrorCode::invalid_argument, "", [&] { return session->run({Value(numbers({6, 5}))}); }));
  }
}

TEST(TorchStage, AWorkerWithAnotherVersionOfTheModelRefuses) {
  const auto registry = TransportRegistry::with_defaults();
  const auto worker = Worker::create();
  worker->add_model("net", load(testing::perceptron(2), {numbers({2, 4})}));
  const auto address = worker->serve(registry, "tcp://127.0.0.1:0");
  EXPECT_TRUE(throws(ErrorCode::incompatible, "net", [&] {
    return Session::open(perceptron(), {.worker = address, .cut = Cut::after("features"), .model_name = "net"});
  }));
  EXPECT_EQ(worker->stats().stages_run, 0U);
}

}  // namespace
}  // namespace splitnet
