// SPDX-License-Identifier: Apache-2.0
#include "network.hpp"

#include <torch/script.h>

#include <iterator>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "splitnet/codec.hpp"
#include "splitnet/partitioner.hpp"
#include "splitnet/torch_tensor.hpp"
#include "zoo/zoo_values.hpp"

namespace splitnet::soak {
namespace {

constexpr std::int64_t side = 64;

Network network_of(const std::string& file, const at::Tensor& picture, std::size_t count) {
  Network network{file, Partitioner::load(file, {picture}), {}};
  for (std::size_t i = 0; i < count; ++i) {
    const auto down = static_cast<std::int64_t>(i) % side;
    const auto right = static_cast<std::int64_t>(i) / side * 8 % side;
    network.pictures.emplace_back(at::roll(picture, {down, right}, {2, 3}).contiguous());
  }
  return network;
}

/// Floats that look random and are the same everywhere.
at::Tensor numbers(at::IntArrayRef sizes, double seed) {
  return at::sin(at::arange(c10::multiply_integers(sizes), at::kFloat) * 0.7310585 + seed).reshape(sizes).contiguous();
}

/// A head as the stages behind it see it: through a codec.
class CodedStage final : public Stage {
 public:
  CodedStage(std::unique_ptr<Stage> inner, std::shared_ptr<const Codec> codec)
      : inner_(std::move(inner)), codec_(std::move(codec)) {}
  const StageInfo& info() const noexcept override { return inner_->info(); }
  std::vector<Value> run(std::vector<Value> inputs) const override {
    auto outputs = inner_->run(std::move(inputs));
    const auto results = outputs.begin() + static_cast<std::ptrdiff_t>(info().boundary_count);
    std::vector<Value> boundary(std::make_move_iterator(outputs.begin()), std::make_move_iterator(results));
    boundary = decode_values(*codec_, encode_values(*codec_, std::move(boundary)).values);
    std::move(boundary.begin(), boundary.end(), outputs.begin());
    return outputs;
  }
  void save(const std::string& path) const override { inner_->save(path); }

 private:
  const std::unique_ptr<Stage> inner_;
  const std::shared_ptr<const Codec> codec_;
};

std::vector<Value> answers_of(const Network& network, const std::vector<std::unique_ptr<Stage>>& stages) {
  std::vector<Value> answers;
  for (const Value& picture : network.pictures) {
    answers.push_back(run_stages(*network.model, stages, {picture}));
    for (std::size_t i = 0; i + 1 < answers.size(); ++i) {
      if (bit_identical(answers[i], answers.back())) throw std::runtime_error("two pictures have the same answer");
    }
  }
  return answers;
}

}  // namespace

Network zoo_network(const std::string& file, const std::string& inputs_file, std::size_t count) {
  return network_of(file, testing::load_zoo_values(inputs_file).at(0).toTensor(), count);
}

Network own_network(const std::string& folder, std::size_t count) {
  torch::jit::Module module("OwnNetwork");
  module.register_attribute("training", c10::BoolType::get(), false);
  module.register_parameter("first", numbers({8, 1, 3, 3}, 1), false);
  module.register_parameter("second", numbers({16, 8, 3, 3}, 2), false);
  module.register_parameter("last", numbers({10, 16 * 16 * 16}, 3), false);
  module.define(R"(
def forward(self, x):
  x = torch.relu(torch.conv2d(x, self.first, None, [1, 1], [1, 1]))
  x = torch.max_pool2d(x, [2, 2])
  x = torch.relu(torch.conv2d(x, self.second, None, [1, 1], [1, 1]))
  x = torch.max_pool2d(x, [2, 2])
  return torch.linear(torch.flatten(x, 1), self.last)
)");
  const std::string file = folder + "/own.pt";
  module.save(file);
  return network_of(file, numbers({1, 1, side, side}, 4), count);
}

std::vector<Value> uncut_answers(const Network& network) {
  return answers_of(network, network.model->split({}, {.threads = threads}));
}

std::vector<Value> coded_answers(const Network& network, const Cut& cut, const std::string& codec) {
  auto stages = network.model->split({cut}, {.threads = threads});
  stages[0] = std::make_unique<CodedStage>(std::move(stages[0]), CodecRegistry::with_defaults().make(codec));
  return answers_of(network, stages);
}

Cut middle_cut(const Model& model) {
  const std::size_t count = model.layers().layers.size();
  for (std::size_t last = count / 2; last + 1 < count; ++last) {
    LayerSet head(last + 1);
    std::iota(head.begin(), head.end(), std::size_t{0});
    if (!model.refusal({head})) return Cut::after_index(last);
  }
  throw std::runtime_error("no cut in the second half of the model is legal");
}

}  // namespace splitnet::soak
