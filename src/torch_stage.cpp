// SPDX-License-Identifier: Apache-2.0
#include "splitnet/torch_stage.hpp"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "graph_archive.hpp"
#include "own_bytes.hpp"
#include "private_inputs.hpp"
#include "splitnet/error.hpp"
#include "splitnet/torch_tensor.hpp"
#include "torch_error.hpp"
#include "torch_stage.hpp"

namespace splitnet {

std::unique_ptr<Stage> load_stage(const std::string& path, const StageOptions& options) {
  return detail::TorchStage::load(path, options);
}

namespace detail {
namespace {

std::string stage_name(const StageInfo& info) {
  return "stage " + std::to_string(info.index + 1) + " of " + std::to_string(info.stage_count);
}

void check_tensor(const std::string& name, const Tensor& tensor, const ExpectedTensor& expected) {
  if (tensor.dtype != expected.dtype) {
    throw Error(ErrorCode::invalid_argument, name + " has dtype " + std::string(to_string(tensor.dtype)) +
                                                 ", expected " + std::string(to_string(expected.dtype)));
  }
  if (static_cast<std::int64_t>(tensor.sizes.size()) != expected.rank) {
    throw Error(ErrorCode::invalid_argument, name + " has " + std::to_string(tensor.sizes.size()) + " dimensions (" +
                                                 describe(Value(tensor)) + "), expected " +
                                                 std::to_string(expected.rank));
  }
}

template <class T, class F>
c10::IValue map_to_tuple(const std::vector<T>& items, F&& f) {
  std::vector<c10::IValue> values;
  for (const auto& item : items) values.push_back(f(item));
  return make_tuple(std::move(values));
}

c10::IValue pack(const std::vector<StageValue>& values) {
  return map_to_tuple(values, [](const StageValue& v) { return make_tuple({std::int64_t{v.id}, v.type}); });
}

std::vector<StageValue> unpack_values(const c10::IValue& archive) {
  std::vector<StageValue> values;
  for (const auto& item : archive.toTupleRef().elements()) {
    const auto& fields = item.toTupleRef().elements();
    values.push_back({static_cast<std::uint32_t>(fields.at(0).toInt()), fields.at(1).toStringRef()});
  }
  return values;
}

c10::IValue pack(const StageInfo& info) {
  return make_tuple(
      {info.fingerprint, static_cast<std::int64_t>(info.index), static_cast<std::int64_t>(info.stage_count),
       pack(info.inputs), pack(info.outputs), static_cast<std::int64_t>(info.boundary_count),
       map_to_tuple(info.result_slots, [](std::uint32_t slot) { return c10::IValue(std::int64_t{slot}); }),
       info.parameter_bytes});
}

StageInfo unpack_info(const c10::IValue& archive) {
  const auto& fields = archive.toTupleRef().elements();
  StageInfo info;
  info.fingerprint = fields.at(0).toStringRef();
  info.index = static_cast<std::size_t>(fields.at(1).toInt());
  info.stage_count = static_cast<std::size_t>(fields.at(2).toInt());
  info.inputs = unpack_values(fields.at(3));
  info.outputs = unpack_values(fields.at(4));
  info.boundary_count = static_cast<std::size_t>(fields.at(5).toInt());
  for (const auto& slot : fields.at(6).toTupleRef().elements()) {
    info.result_slots.push_back(static_cast<std::uint32_t>(slot.toInt()));
  }
  info.parameter_bytes = fields.at(7).toInt();
  return info;
}

c10::IValue pack(const StageInput& input) {
  const auto dtype = input.expected ? static_cast<std::int64_t>(input.expected->dtype) : std::int64_t{0};
  const auto rank = input.expected ? input.expected->rank : std::int64_t{0};
  return make_tuple(
      {input.name, dtype, rank, input.bound.has_value(), input.bound.value_or(c10::IValue()), input.written});
}

StageInput unpack_input(const c10::IValue& archive) {
  const auto& fields = archive.toTupleRef().elements();
  StageInput input;
  input.name = fields.at(0).toStringRef();
  const auto dtype = fields.at(1).toInt();
  if (dtype != 0) {
    if (!is_dtype(static_cast<unsigned>(dtype))) {
      throw Error(ErrorCode::corrupt, "a stage file names the unknown dtype " + std::to_string(dtype));
    }
    input.expected = ExpectedTensor{static_cast<DType>(dtype), fields.at(2).toInt()};
  }
  if (fields.at(3).toBool()) input.bound = fields.at(4);
  input.written = fields.at(5).toBool();
  return input;
}

/// On the executor's threads, or, without one, here.
void run_work(TorchExecutor* executor, const std::function<void()>& work) {
  if (executor != nullptr) {
    executor->run(work);
  } else {
    work();
  }
}

/// A stage that only passes values on needs no thread of its own.
bool is_empty(const torch::jit::Graph& graph) {
  return graph.nodes().begin() == graph.nodes().end();
}

}  // namespace

TorchStage::TorchStage(StageInfo info, std::vector<StageInput> inputs, std::shared_ptr<torch::jit::Graph> graph,
                       const StageOptions& options)
    : info_(std::move(info)),
      inputs_(std::move(inputs)),
      graph_(std::move(graph)),
      code_(graph_, "stage"),
      executor_(options.threads > 0 && !is_empty(*graph_) ? TorchExecutor::with_threads(options.threads) : nullptr) {
  if (options.threads < 0) {
    throw Error(ErrorCode::invalid_argument,
                "the number of threads is " + std::to_string(options.threads) + ", expected 0 or more");
  }
}

void TorchStage::check(const std::vector<Value>& inputs) const {
  if (inputs.size() != inputs_.size()) {
    throw Error(ErrorCode::invalid_argument, stage_name(info_) + " takes " + std::to_string(inputs_.size()) +
                                                 " inputs, found " + std::to_string(inputs.size()));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto* tensor = inputs[i].get_if<Tensor>();
    if (tensor != nullptr && inputs_[i].expected) check_tensor(inputs_[i].name, *tensor, *inputs_[i].expected);
    if (inputs_[i].bound && !bit_identical(inputs[i], to_value(*inputs_[i].bound))) {
      throw Error(ErrorCode::invalid_argument, inputs_[i].name + " was bound to another value than " +
                                                   describe(inputs[i]) + " when the model was loaded");
    }
  }
}

torch::jit::Stack TorchStage::stack_of(std::vector<Value> inputs) const {
  std::vector<bool> written;
  for (const auto& input : inputs_) written.push_back(input.written);
  own_integers(inputs);
  make_private(inputs, written);

  torch::jit::Stack stack;
  stack.reserve(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    try {
      stack.push_back(to_ivalue(inputs[i], graph_->inputs()[i]->type()));
    } catch (const Error& error) {
      throw Error(error.code(), inputs_[i].name + ": " + error.what());
    }
  }
  return stack;
}

void TorchStage::run_on(torch::jit::Stack& stack) const {
  try {
    torch::jit::InterpreterState(code_).run(stack);
  } catch (const std::exception& error) {
    const auto words = torch_words(error);
    if (words.find("can't allocate memory") != std::string::npos) {
      throw Error(ErrorCode::overloaded, stage_name(info_) + " ran out of memory: " + words);
    }
    throw Error(ErrorCode::invalid_argument, stage_name(info_) + " failed: " + words);
  }
}

std::vector<Value> TorchStage::run(std::vector<Value> inputs) const {
  check(inputs);
  std::vector<Value> outputs;
  run_work(executor_.get(), [&] {
    // The stack holds the only handles, so that memory is freed as the pass goes on.
    torch::jit::Stack stack = stack_of(std::move(inputs));
    const at::NoGradGuard no_grad;
    run_on(stack);
    outputs.reserve(stack.size());
    for (const auto& value : stack) outputs.push_back(to_value(value));
  });
  return outputs;
}

namespace {

/// Keeps the graph of one pass, on the stage's threads.
class TorchPass final : public DifferentiablePass {
 public:
  /// `leaves`: one for each input, undefined where nothing is differentiated.
  TorchPass(std::vector<at::Tensor> leaves, std::vector<at::Tensor> outputs, std::vector<Value> values,
            std::shared_ptr<TorchExecutor> executor)
      : leaves_(std::move(leaves)),
        outputs_(std::move(outputs)),
        values_(std::move(values)),
        executor_(std::move(executor)) {}

  [[nodiscard]] const std::vector<Value>& outputs() const noexcept override { return values_; }

  [[nodiscard]] std::vector<Value> gradients(const std::vector<Value>& weights) const override {
    if (weights.size() != outputs_.size()) {
      throw Error(ErrorCode::invalid_argument, "gradients: found " + std::to_string(weights.size()) +
                                                   " weights, expected " + std::to_string(outputs_.size()));
    }
    std::vector<at::Tensor> sums;
    std::vector<at::Tensor> factors;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (std::holds_alternative<None>(weights[i].variant())) continue;
      const auto* weight = weights[i].get_if<Tensor>();
      const auto* output = values_[i].get_if<Tensor>();
      if (weight == nullptr || output == nullptr || weight->dtype != output->dtype || weight->sizes != output->sizes) {
        throw Error(ErrorCode::invalid_argument, "gradients: weight " + std::to_string(i) + " is a " +
                                                     describe(weights[i]) + ", expected one like the output, a " +
                                                     describe(values_[i]));
      }
      if (!outputs_[i].defined() || !outputs_[i].requires_grad()) continue;
      sums.push_back(outputs_[i]);
      factors.push_back(to_ivalue(weights[i], c10::TensorType::get()).toTensor());
    }
    std::vector<Value> found(leaves_.size());
    std::vector<at::Tensor> asked;
    for (const auto& leaf : leaves_) {
      if (leaf.defined()) asked.push_back(leaf);
    }
    if (sums.empty() || asked.empty()) return found;
    try {
      run_work(executor_.get(), [&] {
        const auto gradients = torch::autograd::grad(sums, asked, factors, true, false, true);
        std::size_t next = 0;
        for (std::size_t i = 0; i < leaves_.size(); ++i) {
          if (!leaves_[i].defined()) continue;
          const auto& gradient = gradients[next++];
          if (gradient.defined()) found[i] = to_value(c10::IValue(gradient.contiguous()));
        }
      });
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      throw Error(ErrorCode::unsupported_model, "no gradients: " + torch_words(error));
    }
    return found;
  }

 private:
  const std::vector<at::Tensor> leaves_;
  const std::vector<at::Tensor> outputs_;
  const std::vector<Value> values_;
  const std::shared_ptr<TorchExecutor> executor_;
};

}  // namespace

std::unique_ptr<DifferentiablePass> TorchStage::differentiate(std::vector<Value> inputs) const {
  check(inputs);
  std::vector<at::Tensor> leaves;
  std::vector<at::Tensor> outputs;
  std::vector<Value> values;
  run_work(executor_.get(), [&] {
    torch::jit::Stack stack = stack_of(std::move(inputs));
    const at::AutoGradMode with_gradients(true);
    for (auto& value : stack) {
      leaves.emplace_back();
      if (!value.isTensor() || value.toTensor().scalar_type() != at::kFloat) continue;
      leaves.back() = value.toTensor().detach().clone().requires_grad_();
      value = leaves.back().clone();  // No leaf: the stage may write into it.
    }
    run_on(stack);
    for (const auto& value : stack) {
      const bool is_tensor = value.isTensor();
      outputs.push_back(is_tensor ? value.toTensor() : at::Tensor());
      values.push_back(to_value(is_tensor ? c10::IValue(value.toTensor().detach()) : value));
    }
  });
  return std::make_unique<TorchPass>(std::move(leaves), std::move(outputs), std::move(values), executor_);
}

void TorchStage::save(const std::string& path) const {
  write_archive(path,
                make_tuple({pack(info_), map_to_tuple(inputs_, [](const StageInput& input) { return pack(input); }),
                            graph_to_ivalue(*graph_)}),
                stage_archive);
}

std::unique_ptr<TorchStage> TorchStage::load(const std::string& path, const StageOptions& options) {
  const auto archive = read_archive(path, stage_archive);
  try {
    const auto& parts = archive.toTupleRef().elements();
    std::vector<StageInput> inputs;
    for (const auto& item : parts.at(1).toTupleRef().elements()) inputs.push_back(unpack_input(item));
    return std::make_unique<TorchStage>(unpack_info(parts.at(0)), std::move(inputs), graph_from_ivalue(parts.at(2)),
                                        options);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::corrupt, "'" + path + "' is not an intact stage file: " + torch_words(error));
  }
}

}  // namespace detail
}  // namespace splitnet
