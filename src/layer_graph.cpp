// SPDX-License-Identifier: Apache-2.0
#include "splitnet/layer_graph.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "splitnet/error.hpp"

namespace splitnet {
namespace {

constexpr std::size_t kNearNames = 3;

/// True when a layer of `path` lies in the module `prefix`.
bool is_within(std::string_view path, std::string_view prefix) {
  return path == prefix ||
         (path.size() > prefix.size() && path.substr(0, prefix.size()) == prefix && path[prefix.size()] == '.');
}

LayerSet first_layers(std::size_t count) {
  LayerSet layers(count);
  std::iota(layers.begin(), layers.end(), std::size_t{0});
  return layers;
}

/// Levenshtein's distance with one row of the table.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

/// Every name that Cut::after takes: layers, and modules around them.
std::set<std::string_view> known_names(const LayerGraph& graph) {
  std::set<std::string_view> names;
  for (const auto& layer : graph.layers) {
    names.insert(layer.name);
    const std::string_view path = layer.module_path;
    for (auto end = path.find('.'); end != path.npos; end = path.find('.', end + 1)) {
      names.insert(path.substr(0, end));
    }
    if (!path.empty()) names.insert(path);
  }
  return names;
}

std::vector<std::string_view> near_names(const LayerGraph& graph, std::string_view wanted) {
  wanted = wanted.substr(0, 128);  // Bounds the work; a name is never longer in earnest.
  std::vector<std::pair<std::size_t, std::string_view>> ranked;
  for (const auto name : known_names(graph)) {
    const auto distance = edit_distance(wanted, name.substr(0, 128));
    const bool begins_alike = name.starts_with(wanted) || wanted.starts_with(name);
    if (begins_alike || distance <= 1 + wanted.size() / 3) ranked.emplace_back(distance, name);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& x, const auto& y) { return x.first < y.first; });
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < ranked.size() && i < kNearNames; ++i) names.push_back(ranked[i].second);
  return names;
}

[[noreturn]] void throw_unknown(const LayerGraph& graph, const std::string& name) {
  std::string text = "no layer or module is called '" + name.substr(0, 256) + "'";
  const auto near = near_names(graph, name);
  for (std::size_t i = 0; i < near.size(); ++i) {
    text += (i == 0 ? "; near names: '" : ", '") + std::string(near[i]) + "'";
  }
  throw Error(ErrorCode::invalid_argument, text);
}

[[noreturn]] void throw_out_of_range(std::size_t index, std::size_t count) {
  throw Error(ErrorCode::invalid_argument, "layer " + std::to_string(index) + " is out of range: the model has " +
                                               std::to_string(count) + " layers");
}

/// One layer of the head that needs one outside of it.
struct MissingLayer {
  std::size_t layer = 0;
  std::size_t needed = 0;
  const char* edge = "";
};

[[noreturn]] void throw_not_closed(const LayerGraph& graph, const MissingLayer& missing) {
  const auto named = [&](std::size_t layer) {
    return "'" + graph.layers[layer].name + "' (" + std::to_string(layer) + ")";
  };
  throw Error(ErrorCode::invalid_argument, "the cut is not closed: layer " + named(missing.layer) +
                                               " is in the head, but layer " + named(missing.needed) +
                                               ", which comes before it by " + missing.edge + " edge, is not");
}

void check_closed(const LayerGraph& graph, const LayerSet& head) {
  std::vector<bool> in_head(graph.layers.size(), false);
  for (const auto layer : head) in_head[layer] = true;
  for (const auto& value : graph.values) {
    if (value.producer == GraphValue::from_input) continue;
    const auto producer = static_cast<std::size_t>(value.producer);
    if (in_head[producer]) continue;
    for (const auto consumer : value.consumers) {
      if (in_head[consumer]) throw_not_closed(graph, {consumer, producer, "a data"});
    }
  }
  for (const auto& edge : graph.order_edges) {
    if (in_head[edge.to] && !in_head[edge.from]) {
      throw_not_closed(graph, {edge.to, edge.from, "an order"});
    }
  }
}

/// One overload for each kind of cut.
struct Resolver {
  const LayerGraph& graph;

  LayerSet operator()(Cut::Empty) const { return {}; }

  LayerSet operator()(const std::string& name) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < graph.layers.size(); ++i) {
      const auto& layer = graph.layers[i];
      if (layer.name == name || (!name.empty() && is_within(layer.module_path, name))) {
        count = i + 1;
      }
    }
    if (count == 0) throw_unknown(graph, name);
    return first_layers(count);
  }

  LayerSet operator()(std::size_t index) const {
    if (index >= graph.layers.size()) throw_out_of_range(index, graph.layers.size());
    return first_layers(index + 1);
  }

  LayerSet operator()(const std::vector<std::size_t>& layers) const {
    LayerSet head = layers;
    std::sort(head.begin(), head.end());
    head.erase(std::unique(head.begin(), head.end()), head.end());
    if (!head.empty() && head.back() >= graph.layers.size()) {
      throw_out_of_range(head.back(), graph.layers.size());
    }
    check_closed(graph, head);
    return head;
  }
};

}  // namespace

LayerSet LayerGraph::resolve(const Cut& cut) const {
  return std::visit(Resolver{*this}, cut.kind());
}

std::vector<std::size_t> LayerGraph::predecessors(std::size_t layer) const {
  std::set<std::size_t> found;
  for (const auto& value : values) {
    if (value.producer == GraphValue::from_input) continue;
    if (std::binary_search(value.consumers.begin(), value.consumers.end(), layer)) {
      found.insert(static_cast<std::size_t>(value.producer));
    }
  }
  for (const auto& edge : order_edges) {
    if (edge.to == layer) found.insert(edge.from);
  }
  return {found.begin(), found.end()};
}

}  // namespace splitnet
