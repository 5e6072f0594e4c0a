// SPDX-License-Identifier: Apache-2.0
#include "splitnet/partitioner.hpp"

#include <torch/csrc/jit/runtime/interpreter.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <unordered_map>

#include "cut_plan.hpp"
#include "frozen_graph.hpp"
#include "graph_analysis.hpp"
#include "graph_archive.hpp"
#include "layer_costs.hpp"
#include "layer_timer.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"
#include "torch_error.hpp"
#include "torch_stage.hpp"

namespace splitnet {
namespace detail {
namespace {

/// Of one value, from the example run.
struct Observed {
  std::optional<c10::ScalarType> dtype;  ///< Of a tensor.
  bool travels = true;                   ///< False for tensors that no message can carry.
  std::vector<std::int64_t> sizes;
  std::int64_t bytes = 0;
};

constexpr const char* kFramework = "torch " TORCH_VERSION;

using Observations = std::unordered_map<const GraphVal*, Observed>;

void observe(const c10::IValue& value, Observed& observed) {
  if (value.isTensor()) {
    const auto& tensor = value.toTensor();
    if (!tensor.defined()) return;
    observed.dtype = tensor.scalar_type();
    observed.sizes = tensor.sizes().vec();
    const bool plain = tensor.layout() == at::kStrided && !tensor.is_quantized() &&
                       (tensor.is_complex() || dtype_from_torch(tensor.scalar_type()));
    observed.travels = observed.travels && plain;
    if (plain) observed.bytes += static_cast<std::int64_t>(tensor.nbytes());
  } else if (value.isList()) {
    for (const auto& item : value.toListRef()) observe(item, observed);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) observe(item, observed);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) observe(entry.value(), observed);
  } else if (value.isInt() || value.isDouble()) {
    observed.bytes += 8;
  }
}

/// Runs the whole graph once with every top-level value as an output.
Observations run_example(const GraphAnalysis& analysis, const std::vector<c10::IValue>& inputs) {
  StagePlan plan;
  const auto graph_inputs = analysis.graph()->inputs();
  plan.inputs.assign(graph_inputs.begin(), graph_inputs.end());
  plan.boundary = plan.inputs;
  for (std::size_t i = 0; i < analysis.items().size(); ++i) {
    plan.items.push_back(i);
    const auto outputs = analysis.items()[i].node->outputs();
    plan.boundary.insert(plan.boundary.end(), outputs.begin(), outputs.end());
  }
  torch::jit::Stack stack(inputs.begin(), inputs.end());
  const at::NoGradGuard no_grad;
  torch::jit::InterpreterState(torch::jit::Code(build_graph(analysis, plan), "example")).run(stack);
  Observations observations;
  for (std::size_t i = 0; i < plan.boundary.size(); ++i) observe(stack[i], observations[plan.boundary[i]]);
  return observations;
}

/// Can a message carry a value of this static type?
bool type_travels(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
    case c10::TypeKind::IntType:
    case c10::TypeKind::FloatType:
    case c10::TypeKind::BoolType:
    case c10::TypeKind::ComplexType:
    case c10::TypeKind::NumberType:
    case c10::TypeKind::StringType:
    case c10::TypeKind::NoneType: return true;
    case c10::TypeKind::OptionalType:
    case c10::TypeKind::ListType:
    case c10::TypeKind::TupleType:
    case c10::TypeKind::DictType:
    case c10::TypeKind::UnionType: {
      const auto inner = type->containedTypes();
      return std::all_of(inner.begin(), inner.end(), type_travels);
    }
    default: return false;
  }
}

class TorchModel final : public Model {
 public:
  /// `fingerprint`: of a graph that is known; empty: it is taken.
  TorchModel(std::shared_ptr<Graph> graph, std::vector<Value> examples, const PartitionerOptions& options,
             const std::string& fingerprint = {})
      : analysis_(std::move(graph)), examples_(std::move(examples)), bound_(options.bind_inputs) {
    if (!examples_.empty()) observations_ = run_example(analysis_, example_ivalues());
    describe_layers();
    describe_values();
    graph_.order_edges = analysis_.order_edges();
    graph_.fingerprint = fingerprint.empty() ? fingerprint_of(analysis_.graph()) : fingerprint;
  }

  [[nodiscard]] const LayerGraph& layers() const noexcept override { return graph_; }
  [[nodiscard]] std::string framework() const override { return kFramework; }
  [[nodiscard]] const std::vector<Value>& example_inputs() const noexcept override { return examples_; }
  [[nodiscard]] const ResultShape& result_shape() const noexcept override { return analysis_.result_shape(); }
  [[nodiscard]] std::size_t result_slot_count() const noexcept override { return analysis_.results().size(); }
  [[nodiscard]] std::optional<Refusal> refusal(const std::vector<LayerSet>& cuts) const override;
  [[nodiscard]] std::unique_ptr<Stage> make_stage(const StageKey& key, const StageOptions& options) const override;
  [[nodiscard]] std::vector<LayerTimings> time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                                      const StageOptions& options) const override;

 private:
  std::vector<c10::IValue> example_ivalues() const;
  void describe_layers();
  void describe_values();
  void collect_consumers(std::unordered_map<const GraphVal*, std::set<std::size_t>>& consumers) const;
  void check_closed(const std::vector<LayerSet>& cuts) const;
  std::string origin_of(const GraphVal* value) const;
  std::optional<Refusal> first_refusal(const std::vector<StagePlan>& plans) const;
  std::optional<Refusal> refuse_boundary(const StagePlan& before, const std::vector<StagePlan>& plans,
                                         std::size_t next) const;
  std::optional<Refusal> refuse_shared_container(const StagePlan& before, const Item& item) const;
  StageInput stage_input(const GraphVal* value, bool written, std::size_t stage) const;
  StageInfo stage_info(const StagePlan& plan, std::size_t index, std::size_t count) const;

  GraphAnalysis analysis_;
  std::vector<Value> examples_;
  std::vector<std::size_t> bound_;
  Observations observations_;
  LayerGraph graph_;
};

std::vector<c10::IValue> TorchModel::example_ivalues() const {
  const auto inputs = analysis_.graph()->inputs();
  if (examples_.size() != inputs.size()) {
    throw Error(ErrorCode::invalid_argument, "forward takes " + std::to_string(inputs.size()) + " inputs, found " +
                                                 std::to_string(examples_.size()) + " examples");
  }
  std::vector<c10::IValue> values;
  for (std::size_t i = 0; i < inputs.size(); ++i) values.push_back(to_ivalue(examples_[i], inputs[i]->type()));
  // The pass may write into its inputs; the caller's examples stay as they are.
  for (auto& value : values) value = value.deepcopy();
  return values;
}

void TorchModel::describe_layers() {
  std::unordered_map<std::string, std::size_t> uses_of_name;
  const SizesOf sizes_of = [&](const GraphVal* value) -> const std::vector<std::int64_t>* {
    const auto found = observations_.find(value);
    if (found != observations_.end()) return found->second.dtype ? &found->second.sizes : nullptr;
    static thread_local std::vector<std::int64_t> constant_sizes;
    const auto constant = torch::jit::toIValue(value);
    if (!constant || !constant->isTensor()) return nullptr;
    constant_sizes = constant->toTensor().sizes().vec();
    return &constant_sizes;
  };
  for (const auto index : analysis_.layer_items()) {
    const auto& item = analysis_.items()[index];
    Layer layer;
    layer.module_path = module_path_of(*item.node);
    layer.operator_name = item.node->kind().toQualString();
    layer.control_flow = !item.node->blocks().empty();
    layer.name = layer.module_path.empty() ? std::string(item.node->kind().toUnqualString()) : layer.module_path;
    const auto use = ++uses_of_name[layer.name];
    if (use > 1) layer.name += "#" + std::to_string(use);
    for (const auto* value : item.reads) layer.parameter_bytes += constant_bytes(*value->node());
    if (!layer.control_flow) layer.flops = flops_of(*item.node, sizes_of);
    graph_.layers.push_back(std::move(layer));
  }
}

/// Layers that use each value, directly or by way of containers built from it.
void TorchModel::collect_consumers(std::unordered_map<const GraphVal*, std::set<std::size_t>>& consumers) const {
  std::function<void(const GraphVal*, std::size_t)> use = [&](const GraphVal* value, std::size_t layer) {
    const auto* item = analysis_.producer(value);
    if (item != nullptr && item->role == Role::late_glue) {
      for (const auto* input : item->reads) use(input, layer);
    } else if (!analysis_.is_constant(value) && analysis_.producer_layer(value) < static_cast<std::ptrdiff_t>(layer)) {
      consumers[value].insert(layer);
    }
  };
  for (const auto& item : analysis_.items()) {
    if (item.role == Role::layer || item.role == Role::bound_glue) {
      for (const auto* value : item.reads) use(value, item.layer);
    } else if (item.role == Role::early_glue) {
      const auto place = analysis_.producer_layer(item.node->output(0));
      if (place == GraphValue::from_input) continue;
      for (const auto* value : item.reads) use(value, static_cast<std::size_t>(place));
    }
  }
}

void TorchModel::describe_values() {
  std::unordered_map<const GraphVal*, std::set<std::size_t>> consumers;
  collect_consumers(consumers);
  std::vector<const GraphVal*> values(analysis_.graph()->inputs().begin(), analysis_.graph()->inputs().end());
  for (const auto& item : analysis_.items()) {
    if (item.role != Role::late_glue)
      values.insert(values.end(), item.node->outputs().begin(), item.node->outputs().end());
  }
  const auto& results = analysis_.results();
  for (const auto* value : values) {
    GraphValue described;
    described.is_output = std::find(results.begin(), results.end(), value) != results.end();
    const auto used = consumers.find(value);
    if (used != consumers.end()) described.consumers.assign(used->second.begin(), used->second.end());
    if (described.consumers.empty() && !described.is_output) continue;
    described.producer = analysis_.producer_layer(value);
    described.type = c10::unshapedType(value->type())->annotation_str();
    const auto observed = observations_.find(value);
    if (observed != observations_.end()) {
      described.sizes = observed->second.sizes;
      described.bytes = observed->second.bytes;
      const auto dtype = observed->second.dtype ? dtype_from_torch(*observed->second.dtype) : std::nullopt;
      if (dtype) described.dtype = to_string(*dtype);
    }
    graph_.values.push_back(std::move(described));
  }
}

void TorchModel::check_closed(const std::vector<LayerSet>& cuts) const {
  for (std::size_t c = 0; c < cuts.size(); ++c) {
    if (graph_.resolve(Cut::of(cuts[c])) != cuts[c]) {
      throw Error(ErrorCode::invalid_argument, "a cut's layers are not sorted or repeat");
    }
    if (c > 0 && !std::includes(cuts[c].begin(), cuts[c].end(), cuts[c - 1].begin(), cuts[c - 1].end())) {
      throw Error(ErrorCode::invalid_argument, "cut " + std::to_string(c + 1) + " does not contain the cut before it");
    }
  }
}

std::string TorchModel::origin_of(const GraphVal* value) const {
  const auto producer = analysis_.producer_layer(value);
  const auto type = c10::unshapedType(value->type())->annotation_str();
  if (producer == GraphValue::from_input) return "an input of type " + type;
  return "a value of type " + type + " made by '" + graph_.layers[static_cast<std::size_t>(producer)].name + "'";
}

std::optional<Refusal> TorchModel::refuse_boundary(const StagePlan& before, const std::vector<StagePlan>& plans,
                                                   std::size_t next) const {
  for (const auto* value : before.boundary) {
    const auto observed = observations_.find(value);
    const bool plain = observed == observations_.end() || observed->second.travels;
    if (!plain || !type_travels(value->type())) {
      auto detail = origin_of(value);
      if (!plain && observed->second.dtype)
        detail += " (dtype " + std::string(c10::toString(*observed->second.dtype)) + ")";
      return Refusal{RefusalReason::value_cannot_travel, detail};
    }
  }
  for (std::size_t stage = next; stage < plans.size(); ++stage) {
    for (const auto index : plans[stage].items) {
      const auto& item = analysis_.items()[index];
      if (item.random) {
        return Refusal{RefusalReason::random_numbers_after_cut,
                       std::string(item.node->kind().toQualString()) + " in '" + module_path_of(*item.node) + "'"};
      }
      if (auto refusal = refuse_shared_container(before, item)) return refusal;
    }
  }
  return std::nullopt;
}

/// Lists and dicts travel by value, so a change of one that two boundary values share would be lost.
std::optional<Refusal> TorchModel::refuse_shared_container(const StagePlan& before, const Item& item) const {
  for (auto* written : item.writes) {
    if (!is_mutable_container(written)) continue;
    std::vector<const GraphVal*> sharing;
    for (auto* value : before.boundary) {
      if (analysis_.touches(written, value)) sharing.push_back(value);
    }
    if (sharing.size() > 1) {
      return Refusal{RefusalReason::shared_container_written, origin_of(sharing[0]) + " and " + origin_of(sharing[1])};
    }
  }
  return std::nullopt;
}

std::optional<Refusal> TorchModel::first_refusal(const std::vector<StagePlan>& plans) const {
  for (std::size_t stage = 0; stage + 1 < plans.size(); ++stage) {
    if (auto refusal = refuse_boundary(plans[stage], plans, stage + 1)) return refusal;
  }
  return std::nullopt;
}

std::optional<Refusal> TorchModel::refusal(const std::vector<LayerSet>& cuts) const {
  check_closed(cuts);
  return first_refusal(plan_stages(analysis_, cuts));
}

StageInput TorchModel::stage_input(const GraphVal* value, bool written, std::size_t stage) const {
  StageInput input;
  input.written = written;
  input.name = stage == 0 ? "input " + std::to_string(analysis_.id(value))
                          : "boundary value " + std::to_string(analysis_.id(value)) + ", " + origin_of(value);
  const auto observed = observations_.find(value);
  if (value->type()->kind() == c10::TypeKind::TensorType && observed != observations_.end() && observed->second.dtype) {
    if (const auto dtype = dtype_from_torch(*observed->second.dtype)) {
      input.expected = ExpectedTensor{*dtype, static_cast<std::int64_t>(observed->second.sizes.size())};
    }
  }
  if (stage == 0 && std::find(bound_.begin(), bound_.end(), analysis_.id(value)) != bound_.end()) {
    input.bound = to_ivalue(examples_[analysis_.id(value)], value->type());
  }
  return input;
}

StageInfo TorchModel::stage_info(const StagePlan& plan, std::size_t index, std::size_t count) const {
  const auto describe_value = [&](const GraphVal* value) {
    return StageValue{analysis_.is_constant(value) ? 0 : analysis_.id(value),
                      c10::unshapedType(value->type())->annotation_str()};
  };
  StageInfo info;
  info.fingerprint = graph_.fingerprint;
  info.index = index;
  info.stage_count = count;
  for (const auto* value : plan.inputs) info.inputs.push_back(describe_value(value));
  for (const auto* value : plan.boundary) info.outputs.push_back(describe_value(value));
  for (const auto slot : plan.result_slots) info.outputs.push_back(describe_value(analysis_.results()[slot]));
  info.boundary_count = plan.boundary.size();
  info.result_slots = plan.result_slots;
  return info;
}

std::unique_ptr<Stage> TorchModel::make_stage(const StageKey& key, const StageOptions& options) const {
  if (key.index > key.cuts.size()) {
    throw Error(ErrorCode::invalid_argument, "there is no stage " + std::to_string(key.index + 1) + ": " +
                                                 std::to_string(key.cuts.size()) + " cuts give " +
                                                 std::to_string(key.cuts.size() + 1) + " stages");
  }
  check_closed(key.cuts);
  const auto plans = plan_stages(analysis_, key.cuts);
  if (const auto refusal = first_refusal(plans)) {
    throw Error(ErrorCode::unsupported_model,
                "this cut is refused (" + std::string(to_string(refusal->reason)) + "): " + refusal->detail);
  }
  const auto& plan = plans[key.index];
  const auto written = written_inputs(analysis_, plan);
  std::vector<StageInput> inputs;
  for (std::size_t i = 0; i < plan.inputs.size(); ++i)
    inputs.push_back(stage_input(plan.inputs[i], written[i], key.index));
  auto graph = build_graph(analysis_, plan);
  auto info = stage_info(plan, key.index, plans.size());
  for (const auto* node : graph->nodes()) info.parameter_bytes += constant_bytes(*node);
  return std::make_unique<TorchStage>(std::move(info), std::move(inputs), std::move(graph), options);
}

std::vector<LayerTimings> TorchModel::time_layers(const std::vector<Value>& inputs, std::size_t passes,
                                                  const StageOptions& options) const {
  // A stage checks the inputs, with the words that its callers know; then the marked graph runs on them.
  const auto whole = make_stage({}, options);
  (void)whole->run(inputs);
  std::vector<c10::IValue> values;
  const auto graph_inputs = analysis_.graph()->inputs();
  for (std::size_t i = 0; i < inputs.size(); ++i) values.push_back(to_ivalue(inputs[i], graph_inputs[i]->type()));
  if (options.threads == 0) return detail::time_layers(analysis_, values, passes);
  std::vector<LayerTimings> timings;
  TorchExecutor::with_threads(options.threads)->run([&] { timings = detail::time_layers(analysis_, values, passes); });
  return timings;
}

torch::jit::Module read_module(const std::string& path) {
  if (std::filesystem::is_directory(path))
    throw Error(ErrorCode::invalid_argument, "'" + path + "' is a directory, expected a TorchScript file");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file)
    throw Error(ErrorCode::invalid_argument, "the model file '" + path + "' can't be opened: " + std::strerror(errno));
  const auto bytes = static_cast<long long>(file.tellg());
  if (bytes <= 0) throw Error(ErrorCode::corrupt, "the model file '" + path + "' is empty");
  file.close();
  try {
    return torch::jit::load(path, at::kCPU);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::corrupt, "'" + path + "' (" + std::to_string(bytes) +
                                        " bytes) is not an intact TorchScript file: " + torch_words(error));
  }
}

/// What `make` makes of a user's module and example inputs, with torch's words for what torch refuses.
template <class Make>
auto with_torch_words(Make&& make) {
  try {
    return make();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::invalid_argument,
                "the example inputs do not fit forward, or it can't be frozen: " + torch_words(error));
  }
}

std::shared_ptr<const Model> load_prepared(const std::string& path, std::vector<Value> example_inputs,
                                           const PartitionerOptions& options) {
  if (!options.bind_inputs.empty()) {
    throw Error(ErrorCode::invalid_argument, "'" + path + "' is a prepared model, whose inputs can't be bound");
  }
  const auto archive = read_archive(path, model_archive);
  std::string framework;
  std::string fingerprint;
  std::shared_ptr<Graph> graph;
  try {
    const auto& parts = archive.toTupleRef().elements();
    framework = parts.at(0).toStringRef();
    if (framework == kFramework) {
      fingerprint = parts.at(1).toStringRef();
      graph = graph_from_ivalue(parts.at(2));
    }
  } catch (const std::exception& error) {
    throw Error(ErrorCode::corrupt, "'" + path + "' is not an intact prepared model: " + torch_words(error));
  }
  if (framework != kFramework) {
    throw Error(ErrorCode::incompatible, "'" + path + "' was prepared by " + detail::quoted(framework) + ", this is " +
                                             kFramework + ": prepare it again, from the model it was made of");
  }
  return with_torch_words(
      [&] { return std::make_shared<TorchModel>(graph, std::move(example_inputs), options, fingerprint); });
}

/// A file beside the one that is to be: whoever opens that finds the former or the whole new one.
class FileBeside {
 public:
  explicit FileBeside(std::string path) : path_(std::move(path)) {}
  ~FileBeside() {
    std::error_code ignored;
    std::filesystem::remove(beside(), ignored);
  }
  FileBeside(const FileBeside&) = delete;
  FileBeside& operator=(const FileBeside&) = delete;

  [[nodiscard]] std::string beside() const { return path_ + ".part-" + std::to_string(::getpid()); }
  void put_in_place() const {
    std::error_code failed;
    std::filesystem::rename(beside(), path_, failed);
    if (failed) throw Error(ErrorCode::unavailable, "'" + path_ + "' can't be written: " + failed.message());
  }

 private:
  const std::string path_;
};

}  // namespace
}  // namespace detail

void Partitioner::prepare(const std::string& path, const std::string& prepared_path) {
  if (detail::is_archive(path, detail::model_archive)) {
    throw Error(ErrorCode::invalid_argument, "'" + path + "' is prepared already, expected what torch.jit.save writes");
  }
  const auto module = detail::read_module(path);
  const auto model = from_module(module);
  auto graph = detail::with_torch_words([&] { return detail::freeze_forward(module, {}); });
  detail::note_module_paths(graph);
  const detail::FileBeside file(prepared_path);
  detail::write_archive(file.beside(),
                        detail::make_tuple({model->framework(), model->fingerprint(), detail::graph_to_ivalue(*graph)}),
                        detail::model_archive);
  std::string why = "read again it has other layers";
  try {
    if (load(file.beside())->layers() == model->layers()) return file.put_in_place();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::unavailable) throw;
    why = error.what();
  }
  throw Error(ErrorCode::unsupported_model, "'" + path + "' can't be prepared: " + why);
}

std::shared_ptr<const Model> Partitioner::load(const std::string& path, std::vector<Value> example_inputs,
                                               const PartitionerOptions& options) {
  if (detail::is_archive(path, detail::model_archive)) {
    return detail::load_prepared(path, std::move(example_inputs), options);
  }
  return from_module(detail::read_module(path), std::move(example_inputs), options);
}

std::shared_ptr<const Model> Partitioner::from_module(const torch::jit::Module& module,
                                                      std::vector<Value> example_inputs,
                                                      const PartitionerOptions& options) {
  const auto forward = module.find_method("forward");
  if (!forward) throw Error(ErrorCode::unsupported_model, "this module has no method 'forward'");
  std::vector<std::pair<std::size_t, c10::IValue>> bindings;
  for (const auto index : options.bind_inputs) {
    if (index >= example_inputs.size()) {
      throw Error(ErrorCode::invalid_argument, "input " + std::to_string(index) + " can't be bound: there are " +
                                                   std::to_string(example_inputs.size()) + " example inputs");
    }
    const auto takes = forward->graph()->inputs().size() - 1;  // the first is the module itself
    if (index >= takes) {
      throw Error(ErrorCode::invalid_argument, "input " + std::to_string(index) + " can't be bound: forward takes " +
                                                   std::to_string(takes) + " inputs");
    }
    const auto& type = forward->graph()->inputs().at(index + 1)->type();
    bindings.emplace_back(index, to_ivalue(example_inputs[index], type));
  }
  return detail::with_torch_words([&] {
    return std::make_shared<detail::TorchModel>(detail::freeze_forward(module, bindings), std::move(example_inputs),
                                                options);
  });
}

}  // namespace splitnet
