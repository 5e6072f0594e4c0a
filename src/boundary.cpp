// SPDX-License-Identifier: Apache-2.0
#include "boundary.hpp"

#include <algorithm>

namespace splitnet::detail {
namespace {

bool is_input(const GraphValue& value) {
  return value.producer == GraphValue::from_input;
}
bool is_float(const GraphValue& value) {
  return value.dtype == "f32";
}

}  // namespace

std::vector<bool> marks_of(const LayerSet& head, std::size_t layers) {
  std::vector<bool> marks(layers, false);
  for (const std::size_t layer : head) marks[layer] = true;
  return marks;
}

Boundary boundary_of(const LayerGraph& graph, const std::vector<bool>& in_head) {
  Boundary boundary;
  for (const GraphValue& value : graph.values) {
    const bool made = is_input(value) || in_head[static_cast<std::size_t>(value.producer)];
    if (!made) {
      if (value.is_output) boundary.down_bytes += value.bytes;
      continue;
    }
    const bool used =
        std::any_of(value.consumers.begin(), value.consumers.end(), [&](std::size_t layer) { return !in_head[layer]; });
    if (!used) continue;
    boundary.raw_bytes += value.bytes;
    if (is_float(value)) boundary.float_bytes += value.bytes;
    boundary.only_inputs = boundary.only_inputs && is_input(value);
    boundary.has_inputs = boundary.has_inputs || is_input(value);
  }
  return boundary;
}

// A value crosses the cuts between its producer and its last consumer: its bytes are added where that
// stretch begins, taken away where it ends, and summed up along the way.
std::vector<Boundary> sequential_boundaries(const LayerGraph& graph) {
  struct Change {
    std::int64_t raw = 0, floats = 0, down = 0, made_by_layers = 0, inputs = 0;
  };
  const std::size_t layers = graph.layers.size();
  std::vector<Change> changes(layers + 2);
  for (const GraphValue& value : graph.values) {
    const auto first = static_cast<std::size_t>(value.producer + 1);  // The first cut behind the producer.
    if (!is_input(value) && value.is_output) {
      changes[0].down += value.bytes;
      changes[first].down -= value.bytes;
    }
    if (value.consumers.empty()) continue;
    const std::size_t end = *std::max_element(value.consumers.begin(), value.consumers.end()) + 1;
    const std::int64_t floats = is_float(value) ? value.bytes : 0;
    const auto kind = is_input(value) ? &Change::inputs : &Change::made_by_layers;
    changes[first].raw += value.bytes, changes[first].floats += floats, changes[first].*kind += 1;
    changes[end].raw -= value.bytes, changes[end].floats -= floats, changes[end].*kind -= 1;
  }
  std::vector<Boundary> boundaries(layers + 1);
  Change now;
  for (std::size_t i = 0; i <= layers; ++i) {
    now.raw += changes[i].raw, now.floats += changes[i].floats, now.down += changes[i].down;
    now.made_by_layers += changes[i].made_by_layers, now.inputs += changes[i].inputs;
    boundaries[i] = {now.raw, now.floats, now.down, now.made_by_layers == 0, now.inputs > 0};
  }
  return boundaries;
}

}  // namespace splitnet::detail
