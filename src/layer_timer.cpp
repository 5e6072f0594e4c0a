// SPDX-License-Identifier: Apache-2.0
#include "layer_timer.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/csrc/jit/runtime/operator.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "cut_plan.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// Live tensor bytes of this thread since it was made; kernels that allocate on other threads are not seen.
class MemoryWatch final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void* /*pointer*/, std::int64_t bytes, std::size_t /*total_allocated*/,
                         std::size_t /*total_reserved*/, c10::Device device) override {
    if (!device.is_cpu()) return;
    live_ += bytes;
    peak_ = std::max(peak_, live_);
  }
  [[nodiscard]] bool memoryProfilingEnabled() const override { return true; }

  /// The most that was live since the last call.
  std::int64_t take_peak() { return std::exchange(peak_, live_); }

 private:
  std::int64_t live_ = 0;
  std::int64_t peak_ = 0;
};

/// Where the marks of the pass on this thread write.
struct Recorder {
  LayerTimings timings;
  Clock::time_point last;
  MemoryWatch* memory = nullptr;

  void layer_done(std::size_t layer) {
    const auto now = Clock::now();
    timings.layer_s.at(layer) = std::chrono::duration<double>(now - last).count();
    if (memory != nullptr) timings.peak_bytes.at(layer) = memory->take_peak();
    last = Clock::now();  // The mark's own work belongs to no layer.
  }
};
thread_local Recorder* current_recorder = nullptr;

c10::Symbol mark_kind() {
  // Registered with the first model that is timed; it does nothing in a graph that nobody times.
  static const torch::jit::RegisterOperators registered({torch::jit::Operator(
      "splitnet::layer_done(int layer) -> ()",
      [](torch::jit::Stack& stack) {
        const auto layer = torch::jit::pop(stack).toInt();
        if (current_recorder != nullptr) current_recorder->layer_done(static_cast<std::size_t>(layer));
      },
      c10::AliasAnalysisKind::CONSERVATIVE)});
  return c10::Symbol::fromQualString("splitnet::layer_done");
}

std::shared_ptr<Graph> marked_graph(const GraphAnalysis& analysis) {
  const auto plan = plan_stages(analysis, {}).front();
  const auto mark_layer = [&](Graph& graph, const Item& item) {
    if (item.role != Role::layer) return;
    auto* layer = graph.insertConstant(static_cast<std::int64_t>(item.layer));
    graph.appendNode(graph.create(mark_kind(), {layer}, 0));
  };
  return build_graph(analysis, plan, mark_layer);
}

LayerTimings run_once(const torch::jit::Code& code, const std::vector<c10::IValue>& inputs, std::size_t layers,
                      bool with_memory) {
  Recorder recorder;
  recorder.timings.layer_s.assign(layers, 0);
  recorder.timings.peak_bytes.assign(layers, 0);
  // Made before the copies and gone after them: libtorch warns of memory whose beginning it did not see.
  const auto memory = std::make_shared<MemoryWatch>();
  std::optional<c10::DebugInfoGuard> watching;
  if (with_memory) {
    recorder.memory = memory.get();
    watching.emplace(c10::DebugInfoKind::PROFILER_STATE, memory);
  }
  torch::jit::Stack stack;
  for (const auto& input : inputs) stack.push_back(input.deepcopy());  // The pass may write into them.
  (void)memory->take_peak();
  current_recorder = &recorder;
  const std::unique_ptr<Recorder*, void (*)(Recorder**)> guard(&current_recorder, [](Recorder** it) { *it = nullptr; });
  const auto start = Clock::now();
  recorder.last = start;
  torch::jit::InterpreterState(code).run(stack);
  recorder.timings.pass_s = std::chrono::duration<double>(Clock::now() - start).count();
  return std::move(recorder.timings);
}

}  // namespace

std::vector<LayerTimings> time_layers(const GraphAnalysis& analysis, const std::vector<c10::IValue>& inputs,
                                      std::size_t passes) {
  const torch::jit::Code code(marked_graph(analysis), "timed");
  const at::NoGradGuard no_grad;
  std::vector<LayerTimings> timings;
  for (std::size_t i = 0; i < passes; ++i) {
    timings.push_back(run_once(code, inputs, analysis.layer_count(), i == 0));
    if (i > 0) timings.back().peak_bytes = timings.front().peak_bytes;
  }
  return timings;
}

}  // namespace splitnet::detail
