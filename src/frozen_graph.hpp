// SPDX-License-Identifier: Apache-2.0
// A user's module made ready for cutting: evaluation mode, frozen, inlined, and without state.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/script.h>

namespace splitnet::detail {

/// The graph of `forward` with the module argument gone: its inputs are the user's inputs.
/// The user's module is not changed. `bindings` holds, for each input that is fixed to a value, its index
/// and that value; `If`s on it unfold. Throws unsupported_model: state that forward changes, parameters
/// written in place, calls that can't be inlined.
std::shared_ptr<torch::jit::Graph> freeze_forward(const torch::jit::Module& module,
                                                  const std::vector<std::pair<std::size_t, c10::IValue>>& bindings);

/// Hexadecimal hash of graph (without names of values) and constants, bit by bit.
std::string fingerprint_of(const std::shared_ptr<torch::jit::Graph>& graph);

/// Bytes of the tensors inside a constant; 0 for others.
std::int64_t constant_bytes(const torch::jit::Node& node);

}  // namespace splitnet::detail
