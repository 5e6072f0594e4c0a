// SPDX-License-Identifier: Apache-2.0
#include "frozen_graph.hpp"

#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/passes/canonicalize.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <functional>
#include <sstream>

#include "hash.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;
namespace prim = c10::prim;
namespace attr = c10::attr;

[[noreturn]] void unsupported(const Node& node, const std::string& why) {
  std::ostringstream message;
  message << "this model can't be cut: " << why << " (" << node.kind().toQualString();
  const auto range = node.sourceRange();
  if (const auto position = range.file_line_col()) {
    message << " at " << std::get<0>(*position) << ":" << std::get<1>(*position);
  }
  message << ")";
  throw Error(ErrorCode::unsupported_model, message.str());
}

void for_each_node(Block* block, const std::function<void(Node*)>& visit) {
  for (auto* node : block->nodes()) {
    visit(node);
    for (auto* inner : node->blocks()) for_each_node(inner, visit);
  }
}

/// The attribute that a chain of GetAttr nodes reads from the module, or nothing when the chain does not
/// start at the module.
std::optional<c10::IValue> read_attribute(const Value* value, const Value* self, const c10::IValue& module) {
  if (value == self) return module;
  const auto* node = value->node();
  if (node->kind() != prim::GetAttr) return std::nullopt;
  auto owner = read_attribute(node->input(0), self, module);
  if (!owner || !owner->isObject()) return std::nullopt;
  return owner->toObjectRef().getAttr(node->s(attr::name));
}

/// Freezing leaves some attributes that nothing ever writes (a scripted TransformerEncoder's); they are
/// constants like the others.
void fold_attributes(Graph& graph, const torch::jit::Module& module) {
  auto* self = graph.inputs().at(0);
  std::vector<Node*> reads;
  for_each_node(graph.block(), [&](Node* node) {
    if (node->kind() == prim::SetAttr) unsupported(*node, "its forward keeps state in '" + node->s(attr::name) + "'");
    if (node->kind() == prim::GetAttr) reads.push_back(node);
  });
  for (auto* node : reads) {
    const auto attribute = read_attribute(node->output(), self, module._ivalue());
    if (!attribute || attribute->isObject()) continue;  // a step of a longer chain
    torch::jit::WithInsertPoint guard(node);
    auto constant = torch::jit::tryInsertConstant(
        graph, attribute->isTensor() ? c10::IValue(attribute->toTensor().detach()) : *attribute);
    if (!constant) unsupported(*node, "its attribute '" + node->s(attr::name) + "' is neither a constant nor a tensor");
    node->output()->replaceAllUsesWith(*constant);
  }
  for (auto it = reads.rbegin(); it != reads.rend(); ++it) {
    if (!(*it)->output()->hasUses()) (*it)->destroy();
  }
  if (self->hasUses()) {
    unsupported(*self->uses().at(0).user, "it calls a method or reads an object that can't be inlined");
  }
  graph.eraseInput(0);
}

/// A stage has one device, so the device of a tensor in it is no value that has to travel.
void fold_devices(Graph& graph) {
  std::vector<Node*> reads;
  for_each_node(graph.block(), [&](Node* node) {
    if (node->kind() == prim::device) reads.push_back(node);
  });
  torch::jit::WithInsertPoint guard(*graph.nodes().begin());
  for (auto* node : reads) {
    node->output()->replaceAllUsesWith(graph.insertConstant(at::Device(at::kCPU)));
    node->destroy();
  }
}

void bind_inputs(std::shared_ptr<Graph>& graph, const std::vector<std::pair<std::size_t, c10::IValue>>& bindings) {
  if (bindings.empty()) return;
  for (const auto& [index, value] : bindings) {
    auto* input = graph->inputs().at(index);
    torch::jit::WithInsertPoint guard(*graph->nodes().begin());
    auto constant = torch::jit::tryInsertConstant(*graph, value);
    if (!constant) {
      throw Error(ErrorCode::invalid_argument, "input " + std::to_string(index) + " of type " +
                                                   input->type()->annotation_str() + " can't be bound to a value");
    }
    input->replaceAllUsesWith(*constant);
  }
  torch::jit::ConstantPropagation(graph);
  torch::jit::EliminateDeadCode(graph);
}

void hash_tensor(Hash128& hash, const at::Tensor& tensor) {
  std::ostringstream shape;
  shape << tensor.dtype() << tensor.sizes() << (tensor.layout() == at::kStrided ? tensor.strides() : at::IntArrayRef{});
  hash.add(shape.str());
  if (tensor.layout() != at::kStrided || tensor.is_quantized()) return;
  const auto dense = tensor.cpu().contiguous();
  hash.add(dense.const_data_ptr(), dense.nbytes());
}

void hash_constant_tensors(Hash128& hash, const c10::IValue& value) {
  if (value.isTensor()) {
    hash_tensor(hash, value.toTensor());
  } else if (value.isList()) {
    for (const auto& item : value.toListRef()) hash_constant_tensors(hash, item);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) hash_constant_tensors(hash, item);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) hash_constant_tensors(hash, entry.value());
  }
}

void sum_tensor_bytes(const c10::IValue& value, std::int64_t& bytes) {
  if (value.isTensor() && value.toTensor().layout() == at::kStrided) {
    bytes += static_cast<std::int64_t>(value.toTensor().nbytes());
  } else if (value.isList()) {
    for (const auto& item : value.toListRef()) sum_tensor_bytes(item, bytes);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) sum_tensor_bytes(item, bytes);
  }
}

}  // namespace

std::shared_ptr<Graph> freeze_forward(const torch::jit::Module& module,
                                      const std::vector<std::pair<std::size_t, c10::IValue>>& bindings) {
  auto copy = module.clone(/*inplace=*/true);  // shares parameters; eval() must not reach the user's module
  for (auto part : copy.modules()) {           // as eval(), which insists on the flag; modules made in C++ may lack it
    if (part.hasattr("training")) part.setattr("training", false);
  }
  auto frozen = torch::jit::freeze(copy);
  auto graph = frozen.get_method("forward").graph()->copy();
  torch::jit::Inline(*graph);
  fold_attributes(*graph, frozen);
  fold_devices(*graph);
  bind_inputs(graph, bindings);
  return graph;
}

std::string fingerprint_of(const std::shared_ptr<Graph>& graph) {
  Hash128 hash;
  const auto canonical = torch::jit::Canonicalize(graph->copy(), /*keep_unique_names=*/false);
  hash.add(canonical->toString(/*print_source_locations=*/false));
  for_each_node(graph->block(), [&](Node* node) {
    if (node->kind() != prim::Constant) return;
    if (const auto value = torch::jit::toIValue(node->output())) hash_constant_tensors(hash, *value);
  });
  return hash.hex();
}

std::int64_t constant_bytes(const Node& node) {
  std::int64_t bytes = 0;
  if (node.kind() == prim::Constant) {
    if (const auto value = torch::jit::toIValue(node.output())) sum_tensor_bytes(*value, bytes);
  }
  return bytes;
}

}  // namespace splitnet::detail
