// SPDX-License-Identifier: Apache-2.0
#include "graph_archive.hpp"

#include <torch/csrc/jit/frontend/script_type_parser.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <unordered_map>

#include "hash.hpp"
#include "splitnet/error.hpp"
#include "torch_error.hpp"

namespace splitnet::detail {
namespace {

using c10::IValue;
using torch::jit::AttributeKind;
using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Node;
using torch::jit::Value;

constexpr std::uint32_t format_version = 1;
constexpr std::size_t hash_characters = 32;

using Numbers = std::unordered_map<const Value*, std::int64_t>;

template <class T>
IValue list_of(const std::vector<T>& items) {
  std::vector<IValue> values(items.begin(), items.end());
  return make_tuple(std::move(values));
}

template <class T>
std::vector<T> vector_of(const IValue& value) {
  std::vector<T> items;
  for (const auto& item : value.toTupleRef().elements()) items.push_back(item.to<T>());
  return items;
}

/// Without the bytes of a larger storage that the tensor is only a view of.
at::Tensor compact(const at::Tensor& tensor) {
  if (tensor.layout() != at::kStrided || tensor.storage().nbytes() == tensor.nbytes()) return tensor;
  auto copy = at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options());
  copy.copy_(tensor);
  return copy;
}

IValue type_text(const Value& value) {
  // The shapes that tracing noted in types are notes only.
  return c10::unshapedType(value.type())->annotation_str();
}

IValue attribute_to_ivalue(const Node& node, c10::Symbol name) {
  switch (node.kindOf(name)) {
    case AttributeKind::f: return node.f(name);
    case AttributeKind::c: return node.c(name);
    case AttributeKind::i: return node.i(name);
    case AttributeKind::s: return node.s(name);
    case AttributeKind::t: return compact(node.t(name));
    case AttributeKind::fs: return list_of(node.fs(name));
    case AttributeKind::is: return list_of(node.is(name));
    case AttributeKind::ss: return list_of(node.ss(name));
    case AttributeKind::ival: return node.ival(name);
    case AttributeKind::ts: {
      std::vector<IValue> tensors;
      for (const auto& tensor : node.ts(name)) tensors.emplace_back(compact(tensor));
      return make_tuple(std::move(tensors));
    }
    default:
      throw Error(ErrorCode::unsupported_model, std::string("the node ") + node.kind().toQualString() +
                                                    " can't be saved: its attribute '" + name.toUnqualString() +
                                                    "' is of kind " + toString(node.kindOf(name)));
  }
}

void attribute_from_ivalue(Node& node, c10::Symbol name, AttributeKind kind, const IValue& value) {
  switch (kind) {
    case AttributeKind::f: node.f_(name, value.toDouble()); return;
    case AttributeKind::c: node.c_(name, value.toComplexDouble()); return;
    case AttributeKind::i: node.i_(name, value.toInt()); return;
    case AttributeKind::s: node.s_(name, value.toStringRef()); return;
    case AttributeKind::t: node.t_(name, value.toTensor()); return;
    case AttributeKind::fs: node.fs_(name, vector_of<double>(value)); return;
    case AttributeKind::is: node.is_(name, vector_of<std::int64_t>(value)); return;
    case AttributeKind::ss: node.ss_(name, vector_of<std::string>(value)); return;
    case AttributeKind::ts: node.ts_(name, vector_of<at::Tensor>(value)); return;
    case AttributeKind::ival: node.ival_(name, value); return;
    default: throw Error(ErrorCode::corrupt, "an archived graph holds an attribute of an unknown kind");
  }
}

class Writer {
 public:
  IValue block(const Block& block) {
    std::vector<IValue> inputs;
    for (const auto* input : block.inputs()) inputs.push_back(declare(*input));
    std::vector<IValue> nodes;
    for (const auto* node : block.nodes()) nodes.push_back(this->node(*node));
    return make_tuple({make_tuple(std::move(inputs)), make_tuple(std::move(nodes)), uses(block.outputs())});
  }

 private:
  IValue declare(const Value& value) {
    numbers_.emplace(&value, static_cast<std::int64_t>(numbers_.size()));
    return type_text(value);
  }
  IValue uses(at::ArrayRef<const Value*> values) {
    std::vector<IValue> numbers;
    for (const auto* value : values) numbers.emplace_back(numbers_.at(value));
    return make_tuple(std::move(numbers));
  }
  IValue node(const Node& node) {
    std::vector<IValue> attributes;
    for (const auto name : node.attributeNames()) {
      attributes.push_back(make_tuple({std::string(name.toQualString()), static_cast<std::int64_t>(node.kindOf(name)),
                                       attribute_to_ivalue(node, name)}));
    }
    auto inputs = uses(node.inputs());
    std::vector<IValue> blocks;
    for (const auto* inner : node.blocks()) blocks.push_back(block(*inner));
    std::vector<IValue> outputs;
    for (const auto* output : node.outputs()) outputs.push_back(declare(*output));
    return make_tuple({std::string(node.kind().toQualString()), make_tuple(std::move(attributes)), std::move(inputs),
                       make_tuple(std::move(blocks)), make_tuple(std::move(outputs))});
  }

  Numbers numbers_;
};

class Reader {
 public:
  explicit Reader(Graph& graph) : graph_(graph) {}

  void block(Block& block, const IValue& archive) {
    const auto& parts = archive.toTupleRef().elements();
    for (const auto& type : parts.at(0).toTupleRef().elements()) declare(*block.addInput(), type);
    for (const auto& node_archive : parts.at(1).toTupleRef().elements()) node(block, node_archive);
    for (auto* output : uses(parts.at(2))) block.registerOutput(output);
  }

 private:
  void declare(Value& value, const IValue& type) {
    auto& known = types_[type.toStringRef()];
    if (!known) known = torch::jit::ScriptTypeParser().parseType(type.toStringRef());
    value.setType(known);
    values_.push_back(&value);
  }
  std::vector<Value*> uses(const IValue& numbers) {
    std::vector<Value*> values;
    for (const auto number : vector_of<std::int64_t>(numbers)) {
      values.push_back(values_.at(static_cast<std::size_t>(number)));
    }
    return values;
  }
  void node(Block& block, const IValue& archive) {
    const auto& parts = archive.toTupleRef().elements();
    const auto outputs = parts.at(4).toTupleRef().elements().vec();
    auto* node =
        graph_.create(c10::Symbol::fromQualString(parts.at(0).toStringRef()), uses(parts.at(2)), outputs.size());
    block.appendNode(node);
    node->setSourceRange(origin_);
    for (const auto& attribute : parts.at(1).toTupleRef().elements()) {
      const auto& fields = attribute.toTupleRef().elements();
      attribute_from_ivalue(*node, c10::Symbol::fromQualString(fields.at(0).toStringRef()),
                            static_cast<AttributeKind>(fields.at(1).toInt()), fields.at(2));
    }
    for (const auto& inner : parts.at(3).toTupleRef().elements()) this->block(*node->addBlock(), inner);
    for (std::size_t i = 0; i < outputs.size(); ++i) declare(*node->output(i), outputs[i]);
  }

  Graph& graph_;
  // The interpreter reads the file name in a node's source, for aten::warn, without asking whether there is one.
  torch::jit::SourceRange origin_{std::make_shared<torch::jit::Source>("forward", "saved stage", 1), 0, 7};
  std::vector<Value*> values_;
  std::unordered_map<std::string, c10::TypePtr> types_;
};

std::string hash_of(const std::vector<char>& bytes) {
  Hash128 hash;
  hash.add(bytes.data(), bytes.size());
  return hash.hex();
}

[[noreturn]] void damaged(const std::string& path, const ArchiveKind& kind, const std::string& why) {
  throw Error(ErrorCode::corrupt, "'" + path + "' is not an intact " + kind.name + ": " + why);
}

}  // namespace

IValue make_tuple(std::vector<IValue> items) {
  return c10::ivalue::Tuple::create(std::move(items));
}

IValue graph_to_ivalue(const Graph& graph) {
  return Writer().block(*graph.block());
}

std::shared_ptr<Graph> graph_from_ivalue(const IValue& archive) {
  try {
    auto graph = std::make_shared<Graph>();
    Reader(*graph).block(*graph->block(), archive);
    return graph;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::corrupt, std::string("an archived graph can't be rebuilt: ") + torch_words(error));
  }
}

void write_archive(const std::string& path, const IValue& content, const ArchiveKind& kind) {
  const auto payload = torch::jit::pickle_save(content);
  const auto size = static_cast<std::uint64_t>(payload.size());
  const auto hash = hash_of(payload);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(kind.magic.data(), kind.magic.size());
  file.write(reinterpret_cast<const char*>(&format_version), sizeof(format_version));
  file.write(reinterpret_cast<const char*>(&size), sizeof(size));
  file.write(hash.data(), static_cast<std::streamsize>(hash.size()));
  file.write(payload.data(), static_cast<std::streamsize>(payload.size()));
  file.close();
  if (!file) throw Error(ErrorCode::unavailable, "'" + path + "' can't be written: " + std::strerror(errno));
}

IValue read_archive(const std::string& path, const ArchiveKind& kind) {
  if (std::filesystem::is_directory(path))
    throw Error(ErrorCode::invalid_argument, "'" + path + "' is a directory, expected a " + kind.name);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw Error(ErrorCode::invalid_argument, "'" + path + "' can't be opened: " + std::strerror(errno));
  const auto file_bytes = static_cast<std::uint64_t>(file.tellg());
  file.seekg(0);
  std::array<char, 8> found_magic{};
  std::uint32_t version = 0;
  std::uint64_t size = 0;
  std::string hash(hash_characters, '\0');
  file.read(found_magic.data(), found_magic.size());
  file.read(reinterpret_cast<char*>(&version), sizeof(version));
  file.read(reinterpret_cast<char*>(&size), sizeof(size));
  file.read(hash.data(), static_cast<std::streamsize>(hash.size()));
  if (!file) damaged(path, kind, "it has " + std::to_string(file_bytes) + " bytes, less than a header");
  if (found_magic != kind.magic) {
    damaged(path, kind, "it does not begin with '" + std::string(kind.magic.begin(), kind.magic.end()) + "'");
  }
  if (version != format_version) {
    throw Error(ErrorCode::incompatible, "'" + path + "' is a " + kind.name + " of format " + std::to_string(version) +
                                             ", this library reads " + std::to_string(format_version));
  }
  const auto rest = file_bytes - static_cast<std::uint64_t>(file.tellg());
  if (size != rest) {
    damaged(path, kind, "its header announces " + std::to_string(size) + " bytes, " + std::to_string(rest) + " follow");
  }
  std::vector<char> payload(size);
  file.read(payload.data(), static_cast<std::streamsize>(size));
  if (!file || hash_of(payload) != hash) damaged(path, kind, "its hash does not match its content");
  try {
    return torch::jit::pickle_load(payload);
  } catch (const std::exception& error) {
    damaged(path, kind, torch_words(error));
  }
}

bool is_archive(const std::string& path, const ArchiveKind& kind) {
  std::array<char, 8> found{};
  std::ifstream file(path, std::ios::binary);
  file.read(found.data(), found.size());
  return file && found == kind.magic;
}

}  // namespace splitnet::detail
