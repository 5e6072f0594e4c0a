// SPDX-License-Identifier: Apache-2.0
#include <splitnet/splitnet.hpp>

#include <cstdio>

int main() {
  torch::jit::Module module("M");
  module.define("def forward(self, x):\n  y = torch.relu(x)\n  return torch.neg(y) + 1.0\n");
  module.eval();
  const auto x = torch::rand({2, 3}) - 0.5;
  const auto model = splitnet::Partitioner::from_module(module, {x});
  const auto stages = model->split({splitnet::Cut::after_index(0)});
  const auto answer = splitnet::run_stages(*model, stages, {x});
  const bool same = at::equal(splitnet::to_torch(answer.tensor()), 1.0 - torch::relu(x));
  std::printf("torch: %zu layers, %s\n", model->layers().layers.size(), same ? "identical" : "DIFFERENT");
  return same ? 0 : 1;
}
