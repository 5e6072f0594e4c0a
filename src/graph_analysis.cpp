// SPDX-License-Identifier: Apache-2.0
#include "graph_analysis.hpp"

#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>
#include <functional>
#include <set>
#include <sstream>
#include <unordered_set>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

namespace prim = c10::prim;
namespace aten = c10::aten;

bool holds_tensor(const c10::TypePtr& type) {
  if (type->kind() == c10::TypeKind::TensorType) return true;
  for (const auto& inner : type->containedTypes()) {
    if (holds_tensor(inner)) return true;
  }
  return false;
}

/// Could a value of (unshaped) type `inner` be, or be part of, one of type `outer`?
bool may_hold(const c10::TypePtr& outer, const c10::TypePtr& inner) {
  if (outer->kind() == c10::TypeKind::AnyType || *outer == *inner) return true;
  const auto parts = outer->containedTypes();
  return std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return may_hold(part, inner); });
}

bool is_construction(const Node& node) {
  return node.kind() == prim::ListConstruct || node.kind() == prim::TupleConstruct ||
         node.kind() == prim::DictConstruct;
}

/// Takes containers apart, or only changes how a value is typed; computes nothing.
bool is_unpacking(const Node& node) {
  const auto kind = node.kind();
  return kind == prim::ListUnpack || kind == prim::TupleUnpack || kind == prim::TupleIndex ||
         kind == prim::TupleSlice || kind == prim::unchecked_cast || kind == prim::unchecked_unwrap_optional ||
         kind == aten::_unwrap_optional;
}

/// Generic container operators (append, __getitem__, len …) are those whose schema has type variables.
bool is_container_operator(const Node& node) {
  const auto* schema = node.maybeSchema();
  if (schema == nullptr) return false;
  const auto generic = [](const c10::Argument& argument) { return argument.type()->hasFreeVariables(); };
  return std::any_of(schema->arguments().begin(), schema->arguments().end(), generic) ||
         std::any_of(schema->returns().begin(), schema->returns().end(), generic);
}

/// Reads only what describes a tensor, which in-place arithmetic leaves alone.
bool reads_only_metadata(const Node& node) {
  static const std::unordered_set<c10::Symbol> kinds = {
      aten::size,     aten::dim,
      aten::numel,    aten::is_floating_point,
      prim::device,   prim::dtype,
      prim::layout,   prim::is_cuda,
      aten::stride,   aten::storage_offset,
      aten::sym_size, c10::Symbol::fromQualString("aten::is_complex")};
  return kinds.count(node.kind()) > 0;
}

/// In-place operators that change sizes or strides, not elements.
bool changes_metadata(const Node& node) {
  static const std::set<std::string> names = {"aten::resize_",     "aten::resize_as_", "aten::set_",
                                              "aten::t_",          "aten::transpose_", "aten::squeeze_",
                                              "aten::unsqueeze_",  "aten::swapdims_",  "aten::swapaxes_",
                                              "aten::as_strided_", "aten::detach_"};
  return names.count(node.kind().toQualString()) > 0;
}

void for_each_inner(const Node& node, const std::function<void(Node*)>& visit) {
  for (const auto* block : node.blocks()) {
    for (auto* inner : const_cast<torch::jit::Block*>(block)->nodes()) {
      visit(inner);
      for_each_inner(*inner, visit);
    }
  }
}

std::vector<GraphVal*> top_level_reads(Node& node, const torch::jit::Block* top) {
  std::vector<GraphVal*> reads(node.inputs().begin(), node.inputs().end());
  const auto capture = [&](at::ArrayRef<GraphVal*> values) {
    for (auto* value : values) {
      if (value->node()->owningBlock() == top) reads.push_back(value);
    }
  };
  for_each_inner(node, [&](Node* inner) { capture(inner->inputs()); });
  std::function<void(Node&)> capture_returns = [&](Node& owner) {
    for (auto* block : owner.blocks()) {
      capture(block->outputs());
      for (auto* inner : block->nodes()) capture_returns(*inner);
    }
  };
  capture_returns(node);
  std::vector<GraphVal*> unique;
  std::unordered_set<GraphVal*> seen;
  for (auto* value : reads) {
    if (seen.insert(value).second) unique.push_back(value);
  }
  return unique;
}

void collect_writes(Node& node, std::vector<GraphVal*>& writes) {
  if (const auto* schema = node.maybeSchema()) {
    for (std::size_t i = 0; i < schema->arguments().size() && i < node.inputs().size(); ++i) {
      const auto* info = schema->arguments()[i].alias_info();
      if (info != nullptr && info->isWrite()) writes.push_back(node.inputs()[i]);
    }
  }
  for (auto* block : node.blocks()) {
    for (auto* inner : block->nodes()) collect_writes(*inner, writes);
  }
}

bool any_inside(Node& node, bool (*predicate)(const Node&)) {
  if (predicate(node)) return true;
  bool found = false;
  for_each_inner(node, [&](Node* inner) { found = found || predicate(*inner); });
  return found;
}

/// Dropout inside recurrent layers and attention is random only while training, or with a probability.
bool dropout_is_off(const Node& node) {
  const auto* schema = node.maybeSchema();
  for (std::size_t i = 0; schema != nullptr && i < node.inputs().size() && i < schema->arguments().size(); ++i) {
    const auto& name = schema->arguments()[i].name();
    const auto value = torch::jit::toIValue(node.input(i));
    if (!value) continue;
    if ((name == "train" || name == "training") && value->isBool() && !value->toBool()) return true;
    if ((name == "dropout" || name == "dropout_p" || name == "p") && value->isDouble() && value->toDouble() == 0.0)
      return true;
  }
  return false;
}

bool draws_random_numbers(const Node& node) {
  return node.isNondeterministic() && !dropout_is_off(node);
}

bool is_free(const Node& node) {
  return node.kind() == prim::Constant || node.kind() == prim::Uninitialized;
}

/// In a traced model sizes become 0-dimensional tensors on which integer arithmetic is done.
bool is_traced_size(const Node& node, const std::unordered_set<const GraphVal*>& sizes) {
  if (node.kind() == prim::NumToTensor) return true;
  if (!node.kind().is_aten() || !node.blocks().empty()) return false;
  bool any = false;
  for (const auto* input : node.inputs()) {
    if (input->type()->kind() != c10::TypeKind::TensorType || is_free(*input->node())) {
      if (holds_tensor(input->type()) && !is_free(*input->node())) return false;
      continue;
    }
    if (sizes.count(input) == 0) return false;
    any = true;
  }
  return any;
}

}  // namespace

GraphAnalysis::GraphAnalysis(std::shared_ptr<Graph> graph) : graph_(std::move(graph)), alias_(graph_) {
  collect_items();
  refuse_parameter_writes();
  classify();
  number_layers();
  bind_glue();
  place_pure_glue();
  find_order_edges();
  collect_results();
}

void GraphAnalysis::collect_items() {
  std::uint32_t next_id = 0;
  for (auto* input : graph_->inputs()) ids_[input] = next_id++;
  for (auto* node : graph_->nodes()) {
    if (is_free(*node)) continue;
    Item item;
    item.node = node;
    item.reads = top_level_reads(*node, graph_->block());
    collect_writes(*node, item.writes);
    item.random = any_inside(*node, draws_random_numbers);
    item.side_effects = any_inside(*node, [](const Node& n) { return n.hasSideEffects(); });
    item_of_node_[node] = items_.size();
    items_.push_back(std::move(item));
    for (auto* output : node->outputs()) ids_[output] = next_id++;
  }
}

void GraphAnalysis::refuse_parameter_writes() const {
  std::vector<GraphVal*> parameters;
  std::function<void(torch::jit::Block*)> collect = [&](torch::jit::Block* block) {
    for (auto* node : block->nodes()) {
      if (node->kind() == prim::Constant && is_mutable(node->output()->type())) {
        parameters.push_back(node->output());
      }
      for (auto* inner : node->blocks()) collect(inner);
    }
  };
  collect(graph_->block());
  for (const auto& item : items_) {
    if (std::any_of(parameters.begin(), parameters.end(), [&](auto* p) { return writes_to(item, p); })) {
      throw Error(ErrorCode::unsupported_model,
                  std::string("this model can't be cut: its forward changes a parameter or buffer in place (") +
                      item.node->kind().toQualString() + " in '" + module_path_of(*item.node) + "')");
    }
  }
}

bool GraphAnalysis::reads_written_memory(const Item& item) const {
  std::vector<GraphVal*> values(item.reads);
  values.insert(values.end(), item.node->outputs().begin(), item.node->outputs().end());
  const bool structural = is_construction(*item.node) || is_unpacking(*item.node) || is_container_operator(*item.node);
  for (const auto& other : items_) {
    for (auto* written : other.writes) {
      if (structural && !is_mutable_container(written)) continue;  // structure doesn't depend on elements
      if (std::any_of(values.begin(), values.end(), [&](auto* value) { return touches(written, value); })) return true;
    }
  }
  return false;
}

bool GraphAnalysis::is_pure(const Item& item) const {
  if (item.side_effects || item.random || !item.writes.empty()) return false;
  if (reads_only_metadata(*item.node)) {
    return std::none_of(items_.begin(), items_.end(),
                        [](const Item& other) { return any_inside(*other.node, changes_metadata); });
  }
  return !reads_written_memory(item);
}

void GraphAnalysis::classify() {
  std::unordered_set<const GraphVal*> traced_sizes;
  for (auto& item : items_) {
    const auto& node = *item.node;
    bool computes_tensors = false;
    for (const auto* output : node.outputs()) computes_tensors = computes_tensors || holds_tensor(output->type());
    if (is_traced_size(node, traced_sizes)) {
      traced_sizes.insert(node.outputs().begin(), node.outputs().end());
      computes_tensors = false;
    }
    const bool glue = !computes_tensors || is_construction(node) || is_unpacking(node) || is_container_operator(node);
    if (!glue) {
      item.role = Role::layer;
    } else if (!is_pure(item)) {
      item.role = Role::bound_glue;
    } else {
      item.role = is_construction(node) ? Role::late_glue : Role::early_glue;
    }
  }
}

void GraphAnalysis::number_layers() {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].role != Role::layer) continue;
    items_[i].layer = layer_items_.size();
    layer_items_.push_back(i);
  }
  if (layer_items_.empty()) {
    throw Error(ErrorCode::unsupported_model, "this model can't be cut: no operator of its forward computes a tensor");
  }
}

/// For each item, the later items that must stay behind it because of memory, effects or random numbers.
/// Pure glue has no part in it: nothing that it reads is ever written.
std::vector<std::vector<std::size_t>> GraphAnalysis::ordered_pairs() const {
  std::vector<std::vector<std::size_t>> after(items_.size());
  const auto takes_part = [&](const Item& item) { return item.role == Role::layer || item.role == Role::bound_glue; };
  std::optional<std::size_t> last_effect;
  std::optional<std::size_t> last_random;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].side_effects) {
      if (last_effect) after[*last_effect].push_back(i);
      last_effect = i;
    }
    if (items_[i].random) {
      if (last_random) after[*last_random].push_back(i);
      last_random = i;
    }
    if (items_[i].writes.empty()) continue;
    for (std::size_t j = 0; j < items_.size(); ++j) {
      const auto& other = items_[j];
      if (i == j || !takes_part(other)) continue;
      std::vector<GraphVal*> touched(other.reads);
      touched.insert(touched.end(), other.node->outputs().begin(), other.node->outputs().end());
      const bool conflict =
          std::any_of(touched.begin(), touched.end(), [&](auto* v) { return writes_to(items_[i], v); });
      if (conflict) after[std::min(i, j)].push_back(std::max(i, j));
    }
  }
  return after;
}

void GraphAnalysis::bind_glue() {
  successors_ = ordered_pairs();
  for (std::size_t i = 0; i < items_.size(); ++i) {
    for (const auto* value : items_[i].reads) {
      const auto found = item_of_node_.find(value->node());
      if (found != item_of_node_.end()) successors_[found->second].push_back(i);
    }
  }
  constexpr auto none = static_cast<std::size_t>(-1);
  std::vector<std::size_t> first_use(items_.size(), none);  // the first layer that depends on an item
  std::size_t next_layer = none;                            // in program order
  for (std::size_t i = items_.size(); i-- > 0;) {
    auto& item = items_[i];
    for (const auto successor : successors_[i]) first_use[i] = std::min(first_use[i], first_use[successor]);
    if (item.role == Role::layer) first_use[i] = next_layer = item.layer;
    if (item.role != Role::bound_glue) continue;
    item.layer = first_use[i] != none ? first_use[i] : next_layer != none ? next_layer : layer_count() - 1;
    first_use[i] = item.layer;
  }
}

void GraphAnalysis::find_order_edges() {
  std::set<std::pair<std::size_t, std::size_t>> edges;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].role != Role::layer && items_[i].role != Role::bound_glue) continue;
    for (const auto successor : successors_[i]) {
      const auto& after = items_[successor];
      if (after.role != Role::layer && after.role != Role::bound_glue) continue;
      if (items_[i].layer != after.layer) edges.emplace(items_[i].layer, after.layer);
    }
  }
  for (const auto& [from, to] : edges) order_edges_.push_back({from, to});
}

const Item* GraphAnalysis::producer(const GraphVal* value) const {
  const auto found = item_of_node_.find(value->node());
  return found == item_of_node_.end() ? nullptr : &items_[found->second];
}

bool GraphAnalysis::is_constant(const GraphVal* value) const {
  return is_free(*value->node());
}

std::ptrdiff_t GraphAnalysis::producer_layer(const GraphVal* value) const {
  const auto* item = producer(value);
  if (item == nullptr) return GraphValue::from_input;
  if (item->role == Role::layer || item->role == Role::bound_glue) return static_cast<std::ptrdiff_t>(item->layer);
  return glue_layers_.at(value);
}

void GraphAnalysis::place_pure_glue() {
  for (const auto& item : items_) {
    if (item.role != Role::early_glue && item.role != Role::late_glue) continue;
    std::ptrdiff_t latest = GraphValue::from_input;
    for (const auto* input : item.reads) latest = std::max(latest, producer_layer(input));
    for (const auto* output : item.node->outputs()) glue_layers_[output] = latest;
  }
}

bool GraphAnalysis::touches(GraphVal* written, GraphVal* value) const {
  const auto inner = c10::unshapedType(written->type());
  const auto outer = c10::unshapedType(value->type());
  if (!may_hold(outer, inner)) return false;
  return *outer == *inner ? alias_.mayAlias(written, value) : alias_.mayContainAlias(written, value);
}

bool GraphAnalysis::writes_to(const Item& item, GraphVal* value) const {
  return std::any_of(item.writes.begin(), item.writes.end(), [&](auto* written) { return touches(written, value); });
}

void GraphAnalysis::collect_results() {
  if (graph_->outputs().size() != 1) {
    throw Error(ErrorCode::unsupported_model, "this model can't be cut: its forward returns nothing");
  }
  result_shape_ = shape_of(graph_->outputs()[0]);
}

ResultShape GraphAnalysis::shape_of(GraphVal* value) {
  const auto* item = producer(value);
  if (item != nullptr && item->role == Role::late_glue) {
    ResultShape::Node node;
    const auto kind = item->node->kind();
    node.container = kind == prim::ListConstruct    ? ResultShape::Container::list
                     : kind == prim::TupleConstruct ? ResultShape::Container::tuple
                                                    : ResultShape::Container::dict;
    for (auto* input : item->node->inputs()) node.items.push_back(shape_of(input));
    return ResultShape{node};
  }
  const auto found = std::find(results_.begin(), results_.end(), value);
  const auto slot = static_cast<std::uint32_t>(found - results_.begin());
  if (found == results_.end()) results_.push_back(value);
  return ResultShape{ResultShape::Slot{slot}};
}

bool is_mutable(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
    case c10::TypeKind::ListType:
    case c10::TypeKind::DictType:
    case c10::TypeKind::ClassType:
    case c10::TypeKind::AnyType: return true;
    default: break;
  }
  const auto inner = type->containedTypes();
  return std::any_of(inner.begin(), inner.end(), is_mutable);
}

bool is_mutable_container(const GraphVal* value) {
  const auto& type = value->type();
  if (type->kind() == c10::TypeKind::OptionalType) {
    return type->expectRef<c10::OptionalType>().getElementType()->kind() != c10::TypeKind::TensorType &&
           is_mutable(type);
  }
  return type->kind() != c10::TypeKind::TensorType && is_mutable(type);
}

namespace {

c10::Symbol module_path_attribute() {
  static const auto name = c10::Symbol::attr("splitnet_module_path");
  return name;
}

}  // namespace

void note_module_paths(const std::shared_ptr<torch::jit::Graph>& graph) {
  for (Node* const node : graph->nodes()) {
    if (node->kind() == prim::Constant) continue;
    if (std::string path = module_path_of(*node); !path.empty()) node->s_(module_path_attribute(), std::move(path));
  }
}

std::string module_path_of(const Node& node) {
  if (node.hasAttribute(module_path_attribute())) return node.s(module_path_attribute());
  std::string path;
  const auto callstack = node.callstack();
  if (!callstack) return path;
  for (const auto& [function, range, module] : (*callstack)->vec()) {
    if (!module) continue;
    const auto name = module->instance_name();
    if (name.empty() || name == "SELF" || name == "INSTANCE_NAME_UNKNOWN") continue;
    path += (path.empty() ? "" : ".") + name;
  }
  return path;
}

}  // namespace splitnet::detail
