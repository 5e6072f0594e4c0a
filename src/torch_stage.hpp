// SPDX-License-Identifier: Apache-2.0
// The TorchScript implementation of Stage.
#pragma once

#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/interpreter.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/model.hpp"
#include "splitnet/stage.hpp"
#include "torch_executor.hpp"

namespace splitnet::detail {

/// What is known of an input beyond its type, from the example run; checked before the stage runs.
struct ExpectedTensor {
  DType dtype = DType::f32;
  std::int64_t rank = 0;
};

struct StageInput {
  std::string name;                        ///< For messages: "input 0" or the value's origin.
  std::optional<ExpectedTensor> expected;  ///< Of a tensor.
  std::optional<c10::IValue> bound;        ///< The only value that is accepted, when the input was bound.
  bool written = false;                    ///< A node of the stage may write into it.
};

class TorchStage final : public Stage {
 public:
  TorchStage(StageInfo info, std::vector<StageInput> inputs, std::shared_ptr<torch::jit::Graph> graph,
             const StageOptions& options);

  [[nodiscard]] const StageInfo& info() const noexcept override { return info_; }
  [[nodiscard]] std::vector<Value> run(std::vector<Value> inputs) const override;
  [[nodiscard]] std::unique_ptr<DifferentiablePass> differentiate(std::vector<Value> inputs) const override;
  void save(const std::string& path) const override;
  static std::unique_ptr<TorchStage> load(const std::string& path, const StageOptions& options);

 private:
  void check(const std::vector<Value>& inputs) const;
  /// On the interpreter, from inputs that were checked; the stack is then that of the outputs.
  [[nodiscard]] torch::jit::Stack stack_of(std::vector<Value> inputs) const;
  void run_on(torch::jit::Stack& stack) const;

  StageInfo info_;
  std::vector<StageInput> inputs_;
  std::shared_ptr<torch::jit::Graph> graph_;
  torch::jit::Code code_;
  std::shared_ptr<TorchExecutor> executor_;  ///< Null: run on the calling thread.
};

}  // namespace splitnet::detail
