// SPDX-License-Identifier: Apache-2.0
// A TorchScript graph as plain nested tuples, so that a stage file holds exactly the graph that was cut:
// printing it as Python and compiling it again changes graphs, and fails for some.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/ir/ir.h>

#include <memory>
#include <string>

namespace splitnet::detail {

/// Everything in the graph, constants with their tensors included. Throws unsupported_model for an
/// attribute that can't be written (naming the node).
c10::IValue graph_to_ivalue(const torch::jit::Graph& graph);

/// Throws corrupt when `archive` was not made by graph_to_ivalue.
std::shared_ptr<torch::jit::Graph> graph_from_ivalue(const c10::IValue& archive);

c10::IValue make_tuple(std::vector<c10::IValue> items);

/// Writes `content` with magic, version, length and hash. Throws unavailable when it can't be written.
void write_archive(const std::string& path, const c10::IValue& content);

/// Throws invalid_argument (no such file), corrupt (not an archive, truncated, damaged), incompatible
/// (another version).
c10::IValue read_archive(const std::string& path);

}  // namespace splitnet::detail
