// SPDX-License-Identifier: Apache-2.0
#include "splitnet/layer_graph.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::error_of;
using testing::throws;

Layer layer(const std::string& path, int repeat = 1) {
  Layer result;
  result.module_path = path;
  result.name = repeat == 1 ? path : path + "#" + std::to_string(repeat);
  return result;
}

void connect(LayerGraph& graph, std::ptrdiff_t producer, std::vector<std::size_t> consumers) {
  GraphValue value;
  value.producer = producer;
  value.consumers = std::move(consumers);
  graph.values.push_back(value);
}

/// 0 features.0.conv → 1 features.0.relu → 2 features.1.conv → 3 features.1.conv#2 → 5 head,
/// 1 → 4 features.10.conv → 5, and an order edge 2 → 4.
LayerGraph example() {
  LayerGraph graph;
  graph.layers = {layer("features.0.conv"),    layer("features.0.relu"),  layer("features.1.conv"),
                  layer("features.1.conv", 2), layer("features.10.conv"), layer("head")};
  connect(graph, GraphValue::from_input, {0});
  connect(graph, 0, {1});
  connect(graph, 1, {2, 4});
  connect(graph, 2, {3});
  connect(graph, 3, {5});
  connect(graph, 4, {5});
  graph.order_edges = {{2, 4}};
  return graph;
}

LayerSet first(std::size_t count) {
  LayerSet layers;
  for (std::size_t i = 0; i < count; ++i) layers.push_back(i);
  return layers;
}

std::string complaint(const Cut& cut) {
  const auto error = error_of([&] { (void)example().resolve(cut); });
  if (!error || error->code() != ErrorCode::invalid_argument) return "";
  return error->what();
}

TEST(LayerGraph, ResolvesNames) {
  const auto graph = example();
  EXPECT_EQ(graph.resolve(Cut::after("features.0.conv")), first(1));
  EXPECT_EQ(graph.resolve(Cut::after("features.0")), first(2));
  EXPECT_EQ(graph.resolve(Cut::after("features.1")), first(4)) << "features.10 is another module";
  EXPECT_EQ(graph.resolve(Cut::after("features")), first(5));
  EXPECT_EQ(graph.resolve(Cut::after("head")), first(6));
  EXPECT_EQ(graph.resolve(Cut::after("features.1.conv")), first(4)) << "the last layer of that path";
  EXPECT_EQ(graph.resolve(Cut::after("features.1.conv#2")), first(4));
}

TEST(LayerGraph, ResolvesIndicesSetsAndTheInput) {
  const auto graph = example();
  EXPECT_EQ(graph.resolve(Cut::at_input()), LayerSet{});
  EXPECT_EQ(graph.resolve(Cut::after_index(2)), first(3));
  EXPECT_EQ(graph.resolve(Cut::of({4, 0, 2, 1, 0})), (LayerSet{0, 1, 2, 4}));
  EXPECT_EQ(graph.resolve(Cut::of({})), LayerSet{});
}

TEST(LayerGraph, UnknownNamesComeWithNearOnes) {
  EXPECT_NE(complaint(Cut::after("feature.0.conv")).find("'features.0.conv'"), std::string::npos);
  EXPECT_NE(complaint(Cut::after("features.0.con")).find("'features.0.conv'"), std::string::npos);
  EXPECT_NE(complaint(Cut::after("features.2")).find("'features.1'"), std::string::npos);
  EXPECT_NE(complaint(Cut::after("haed")).find("'head'"), std::string::npos);
  EXPECT_EQ(complaint(Cut::after("classifier")).find("near"), std::string::npos);
  EXPECT_NE(complaint(Cut::after("")), "");
  EXPECT_LT(complaint(Cut::after(std::string(100000, 'x'))).size(), 1000U);
}

TEST(LayerGraph, IndicesOutOfRangeNameTheCount) {
  EXPECT_NE(complaint(Cut::after_index(6)).find("layer 6 is out of range: the model has 6 layers"), std::string::npos);
  EXPECT_NE(complaint(Cut::of({0, 99})).find("layer 99"), std::string::npos);
  EXPECT_TRUE(throws(ErrorCode::invalid_argument, "0 layers", [] { (void)LayerGraph{}.resolve(Cut::after_index(0)); }));
}

TEST(LayerGraph, SetsThatAreNotClosedNameBothLayersAndTheEdge) {
  const auto data = complaint(Cut::of({0, 2}));
  EXPECT_NE(data.find("'features.1.conv' (2)"), std::string::npos) << data;
  EXPECT_NE(data.find("'features.0.relu' (1)"), std::string::npos) << data;
  EXPECT_NE(data.find("data edge"), std::string::npos) << data;
  const auto order = complaint(Cut::of({0, 1, 4}));
  EXPECT_NE(order.find("'features.10.conv' (4)"), std::string::npos) << order;
  EXPECT_NE(order.find("'features.1.conv' (2)"), std::string::npos) << order;
  EXPECT_NE(order.find("order edge"), std::string::npos) << order;
}

TEST(LayerGraph, PredecessorsComeFromBothKindsOfEdges) {
  const auto graph = example();
  EXPECT_EQ(graph.predecessors(0), std::vector<std::size_t>{});
  EXPECT_EQ(graph.predecessors(4), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(graph.predecessors(5), (std::vector<std::size_t>{3, 4}));
}

}  // namespace
}  // namespace splitnet
