// SPDX-License-Identifier: Apache-2.0
// A TorchScript graph as plain nested tuples, so that a stage file holds exactly the graph that was cut:
// printing it as Python and compiling it again changes graphs, and fails for some.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/ir/ir.h>

#include <array>
#include <memory>
#include <string>

namespace splitnet::detail {

/// Everything in the graph, constants with their tensors included. Throws unsupported_model for an
/// attribute that can't be written (naming the node).
c10::IValue graph_to_ivalue(const torch::jit::Graph& graph);

/// Throws corrupt when `archive` was not made by graph_to_ivalue.
std::shared_ptr<torch::jit::Graph> graph_from_ivalue(const c10::IValue& archive);

c10::IValue make_tuple(std::vector<c10::IValue> items);

struct ArchiveKind {
  std::array<char, 8> magic;
  const char* name;  ///< For errors.
};
inline constexpr ArchiveKind stage_archive{{'S', 'P', 'L', 'S', 'T', 'A', 'G', 'E'}, "stage file"};
inline constexpr ArchiveKind model_archive{{'S', 'P', 'L', 'M', 'O', 'D', 'E', 'L'}, "prepared model"};

/// Writes `content` with magic, version, length and hash. Throws unavailable when it can't be written.
void write_archive(const std::string& path, const c10::IValue& content, const ArchiveKind& kind);

/// Throws invalid_argument (no such file), corrupt (not an archive of this kind, truncated, damaged), incompatible
/// (another version).
c10::IValue read_archive(const std::string& path, const ArchiveKind& kind);

/// The file begins as one of this kind does.
bool is_archive(const std::string& path, const ArchiveKind& kind);

}  // namespace splitnet::detail
