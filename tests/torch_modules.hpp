// SPDX-License-Identifier: Apache-2.0
// Small TorchScript modules made from source, and the check that every cut of one gives the uncut bits.
// For tests.
#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/script.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "splitnet/error.hpp"
#include "splitnet/model.hpp"
#include "splitnet/partitioner.hpp"
#include "splitnet/torch_tensor.hpp"

namespace splitnet::testing {

using Parameters = std::vector<std::pair<std::string, at::Tensor>>;
using Children = std::vector<std::pair<std::string, torch::jit::Module>>;

/// Floats that look random and are the same everywhere.
inline at::Tensor numbers(at::IntArrayRef sizes, double seed = 1) {
  return at::sin(at::arange(c10::multiply_integers(sizes), at::kFloat) * 0.7310585 + seed).reshape(sizes).contiguous();
}

/// A module with this `forward` (and whatever else the source defines), in training mode. The class has a
/// name of its own, so that a module that holds several can be saved.
inline torch::jit::Module script(const std::string& source, const Parameters& parameters = {},
                                 const Children& children = {}, const Parameters& buffers = {}) {
  static std::atomic<int> count{0};
  torch::jit::Module module("Test" + std::to_string(++count));
  module.register_attribute("training", c10::BoolType::get(), true);
  for (const auto& [name, tensor] : parameters) module.register_parameter(name, tensor, /*is_buffer=*/false);
  for (const auto& [name, tensor] : buffers) module.register_buffer(name, tensor);
  for (const auto& [name, child] : children) module.register_module(name, child);
  module.define(source);
  return module;
}

inline torch::jit::Module linear(std::int64_t in, std::int64_t out, double seed = 1) {
  return script("def forward(self, x):\n  return torch.linear(x, self.weight, self.bias)\n",
                {{"weight", numbers({out, in}, seed)}, {"bias", numbers({out}, seed + 1)}});
}

inline torch::jit::Module conv(std::int64_t in, std::int64_t out, double seed = 1) {
  return script("def forward(self, x):\n  return torch.conv2d(x, self.weight, self.bias, [1, 1], [1, 1])\n",
                {{"weight", numbers({out, in, 3, 3}, seed)}, {"bias", numbers({out}, seed + 1)}});
}

/// linear, relu, linear in the modules "features.first", "features" and "head".
inline torch::jit::Module perceptron(double seed = 1) {
  auto features = script("def forward(self, x):\n  return torch.relu(self.first.forward(x))\n", {},
                         {{"first", linear(4, 6, seed)}});
  return script("def forward(self, x):\n  return self.head.forward(self.features.forward(x))\n", {},
                {{"features", features}, {"head", linear(6, 3, seed + 5)}});
}

inline std::vector<Value> values_of(const std::vector<c10::IValue>& inputs) {
  return {inputs.begin(), inputs.end()};
}

/// Copies that share nothing, strides as they were.
inline std::vector<c10::IValue> copies_of(const std::vector<c10::IValue>& inputs) {
  std::vector<c10::IValue> copies;
  for (const auto& input : inputs) copies.push_back(input.deepcopy());
  return copies;
}

/// What plain torch gives: the frozen module, run by libtorch itself.
inline Value uncut(const torch::jit::Module& module, const std::vector<c10::IValue>& inputs) {
  auto copy = module.deepcopy();
  copy.eval();
  auto frozen = torch::jit::freeze(copy);
  const at::NoGradGuard no_grad;
  return to_value(frozen.forward(copies_of(inputs)));
}

/// All sets of layers that are closed under the graph's edges; of large models only the prefixes.
inline std::vector<LayerSet> closed_sets(const LayerGraph& graph) {
  const auto count = graph.layers.size();
  std::vector<LayerSet> sets;
  if (count > 10) {
    sets.push_back({});
    for (std::size_t i = 0; i < count; ++i) sets.push_back(graph.resolve(Cut::after_index(i)));
    return sets;
  }
  for (std::size_t bits = 0; bits < (std::size_t{1} << count); ++bits) {
    std::vector<std::size_t> layers;
    for (std::size_t i = 0; i < count; ++i) {
      if ((bits >> i & 1U) != 0) layers.push_back(i);
    }
    try {
      sets.push_back(graph.resolve(Cut::of(layers)));
    } catch (const Error&) {  // not closed
    }
  }
  return sets;
}

struct CutCount {
  std::size_t layers = 0;
  std::size_t legal = 0;
  std::vector<Refusal> refused;
};

/// Cuts `module` at every closed set; head and tail together must give the uncut model's bits on `inputs`,
/// the tail the same twice on one boundary, and the inputs must stay as they were. `examples`, if any,
/// are what the model is loaded with instead of `inputs`.
inline CutCount check_every_cut(const torch::jit::Module& module, const std::vector<c10::IValue>& inputs,
                                const std::vector<c10::IValue>& examples = {}) {
  const auto expected = uncut(module, inputs);
  const auto before = values_of(copies_of(inputs));
  const auto model = Partitioner::from_module(module, values_of(examples.empty() ? inputs : examples));
  CutCount count;
  count.layers = model->layers().layers.size();
  for (const auto& set : closed_sets(model->layers())) {
    SCOPED_TRACE("head of " + ::testing::PrintToString(set));
    if (const auto refusal = model->refusal({set})) {
      count.refused.push_back(*refusal);
      continue;
    }
    ++count.legal;
    const auto stages = model->split({Cut::of(set)});
    EXPECT_TRUE(bit_identical(run_stages(*model, stages, values_of(inputs)), expected));
    auto boundary = stages[0]->run(values_of(inputs));
    boundary.resize(stages[0]->info().boundary_count);
    std::vector<std::vector<Value>> tails;
    for (int pass = 0; pass < 2; ++pass) tails.push_back(stages[1]->run(boundary));
    EXPECT_EQ(tails[0].size(), tails[1].size());
    for (std::size_t i = 0; i < tails[0].size(); ++i) {
      EXPECT_TRUE(bit_identical(tails[0][i], tails[1][i])) << "output " << i << " of the tail's second pass";
    }
    const auto after = values_of(inputs);
    for (std::size_t i = 0; i < after.size(); ++i) {
      EXPECT_TRUE(bit_identical(after[i], before[i])) << "input " << i << " was changed";
    }
  }
  return count;
}

}  // namespace splitnet::testing
