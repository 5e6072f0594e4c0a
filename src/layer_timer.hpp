// SPDX-License-Identifier: Apache-2.0
// Times the layers of a graph inside whole passes: marks between the nodes say when each is done.
#pragma once

#include <ATen/core/ivalue.h>
#include <torch/csrc/jit/ir/ir.h>

#include <cstddef>
#include <vector>

#include "graph_analysis.hpp"
#include "splitnet/model.hpp"

namespace splitnet::detail {

/// Runs the whole graph `passes` times on this thread, with fresh copies of `inputs` each time, and times every
/// layer. The first pass also counts memory, which slows it a little: it is a warm-up for times.
std::vector<LayerTimings> time_layers(const GraphAnalysis& analysis, const std::vector<c10::IValue>& inputs,
                                      std::size_t passes);

}  // namespace splitnet::detail
