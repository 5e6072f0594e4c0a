// SPDX-License-Identifier: Apache-2.0
// The source side of the cut is the head. A layer is joined to the source by what it costs in the tail, and to the
// sink by what it costs in the head. A value has a node of its own between its producer and all of its
// consumers, so that it is paid once: the edge from the producer carries its cost, those to the consumers can't be cut.
// Edges back from a consumer to what it needs can't be cut either, which keeps the head closed.
// After Hu et al., "Dynamic Adaptive DNN Surgery" (INFOCOM 2019), §IV; maximum flow after Boykov and Kolmogorov (2004).
#include "min_cut.hpp"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>
#include <cmath>
#include <cstdint>

namespace splitnet::detail {
namespace {

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
struct NodeData {
  boost::default_color_type color = boost::white_color;
  long distance = 0;
  Traits::edge_descriptor predecessor;
};
struct EdgeData {
  std::int64_t capacity = 0;
  std::int64_t residual = 0;
  Traits::edge_descriptor reverse;
};
using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, NodeData, EdgeData>;
using Edge = Traits::edge_descriptor;

constexpr std::int64_t uncuttable = std::int64_t{1} << 60;
constexpr double whole = static_cast<double>(std::int64_t{1} << 50);  // All finite capacities together.

}  // namespace

struct MinCut::Network {
  Graph graph;
  std::vector<Edge> from_source;  // By layer.
  std::vector<Edge> to_sink;      // By layer.
  std::vector<Edge> crossing;     // By value; unset for values without consumers.
  static constexpr std::size_t source = 0;
  static constexpr std::size_t sink = 1;
  static std::size_t node_of(std::size_t layer) { return layer + 2; }

  Edge join(std::size_t from, std::size_t to, std::int64_t capacity, std::int64_t back) {
    const Edge there = boost::add_edge(from, to, graph).first;
    const Edge again = boost::add_edge(to, from, graph).first;
    graph[there].capacity = capacity;
    graph[again].capacity = back;
    graph[there].reverse = again;
    graph[again].reverse = there;
    return there;
  }
};

AdditiveCosts AdditiveCosts::zeros(const LayerGraph& graph) {
  AdditiveCosts costs;
  costs.head.assign(graph.layers.size(), 0);
  costs.tail.assign(graph.layers.size(), 0);
  costs.value.assign(graph.values.size(), 0);
  return costs;
}

void AdditiveCosts::add(const AdditiveCosts& other, double factor) {
  const auto add_all = [factor](std::vector<double>& to, const std::vector<double>& from) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += factor * from[i];
  };
  add_all(head, other.head);
  add_all(tail, other.tail);
  add_all(value, other.value);
  any_head += factor * other.any_head;
  any_tail += factor * other.any_tail;
}

double AdditiveCosts::of(const LayerGraph& graph, const std::vector<bool>& in_head) const {
  double sum = 0;
  bool has_head = false;
  bool has_tail = false;
  for (std::size_t layer = 0; layer < in_head.size(); ++layer) {
    sum += in_head[layer] ? head[layer] : tail[layer];
    (in_head[layer] ? has_head : has_tail) = true;
  }
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    const GraphValue& v = graph.values[i];
    const bool made = v.producer == GraphValue::from_input || in_head[static_cast<std::size_t>(v.producer)];
    const auto used = [&](std::size_t layer) { return !in_head[layer]; };
    if (made && std::any_of(v.consumers.begin(), v.consumers.end(), used)) sum += value[i];
  }
  return sum + (has_head ? any_head : 0) + (has_tail ? any_tail : 0);
}

MinCut::MinCut(const LayerGraph& graph) : graph_(graph), network_(std::make_unique<Network>()) {
  Network& net = *network_;
  const std::size_t layers = graph.layers.size();
  net.graph = Graph(layers + 2);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    net.from_source.push_back(net.join(Network::source, Network::node_of(layer), 0, 0));
    net.to_sink.push_back(net.join(Network::node_of(layer), Network::sink, 0, 0));
  }
  net.crossing.resize(graph.values.size());
  for (std::size_t i = 0; i < graph.values.size(); ++i) {
    const GraphValue& value = graph.values[i];
    if (value.consumers.empty()) continue;
    const bool is_input = value.producer == GraphValue::from_input;
    const std::size_t producer =
        is_input ? Network::source : Network::node_of(static_cast<std::size_t>(value.producer));
    // What leads back to the source changes no cut.
    const std::int64_t back = is_input ? 0 : uncuttable;
    if (value.consumers.size() == 1) {
      net.crossing[i] = net.join(producer, Network::node_of(value.consumers.front()), 0, back);
      continue;
    }
    const std::size_t node = boost::add_vertex(net.graph);
    net.crossing[i] = net.join(producer, node, 0, 0);
    for (const std::size_t consumer : value.consumers) {
      net.join(node, Network::node_of(consumer), uncuttable, 0);
      if (!is_input) net.join(Network::node_of(consumer), producer, uncuttable, 0);
    }
  }
  for (const OrderEdge& edge : graph.order_edges) {
    net.join(Network::node_of(edge.to), Network::node_of(edge.from), uncuttable, 0);
  }
}

MinCut::~MinCut() = default;

std::vector<bool> MinCut::solve(const AdditiveCosts& costs) {
  Network& net = *network_;
  const std::size_t layers = graph_.layers.size();
  // Only the difference between head and tail matters; both capacities have to be positive.
  double sum = 0;
  for (std::size_t i = 0; i < layers; ++i) sum += std::abs(costs.tail[i] - costs.head[i]);
  for (std::size_t i = 0; i < graph_.values.size(); ++i) sum += costs.value[i];
  const double scale = sum > 0 ? whole / sum : 0;
  const auto capacity = [scale](double cost) { return std::llround(std::max(cost, 0.0) * scale); };
  for (std::size_t i = 0; i < layers; ++i) {
    net.graph[net.from_source[i]].capacity = capacity(costs.tail[i] - costs.head[i]);
    net.graph[net.to_sink[i]].capacity = capacity(costs.head[i] - costs.tail[i]);
  }
  for (std::size_t i = 0; i < graph_.values.size(); ++i) {
    if (!graph_.values[i].consumers.empty()) net.graph[net.crossing[i]].capacity = capacity(costs.value[i]);
  }
  boost::boykov_kolmogorov_max_flow(
      net.graph, boost::get(&EdgeData::capacity, net.graph), boost::get(&EdgeData::residual, net.graph),
      boost::get(&EdgeData::reverse, net.graph), boost::get(&NodeData::predecessor, net.graph),
      boost::get(&NodeData::color, net.graph), boost::get(&NodeData::distance, net.graph),
      boost::get(boost::vertex_index, net.graph), Network::source, Network::sink);
  const auto source_color = net.graph[Network::source].color;
  std::vector<bool> best(layers);
  for (std::size_t i = 0; i < layers; ++i) best[i] = net.graph[Network::node_of(i)].color == source_color;
  // The two constants are paid by every mixed head; without one of them everything or nothing may be cheaper.
  for (const bool everything : {true, false}) {
    const std::vector<bool> other(layers, everything);
    if (costs.of(graph_, other) <= costs.of(graph_, best)) best = other;
  }
  return best;
}

}  // namespace splitnet::detail
