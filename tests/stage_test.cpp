// SPDX-License-Identifier: Apache-2.0
#include "splitnet/stage.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::throws;
using Container = ResultShape::Container;

ResultShape slot(std::uint32_t index) {
  return {ResultShape::Slot{index}};
}
ResultShape node(Container container, std::vector<ResultShape> items) {
  return {ResultShape::Node{container, std::move(items)}};
}

TEST(ResultShape, ASingleSlotIsTheResult) {
  EXPECT_TRUE(bit_identical(slot(1).assemble({1, 2}), Value(2)));
}

TEST(ResultShape, ContainersArePutTogether) {
  const auto shape = node(Container::tuple, {slot(2), node(Container::list, {slot(0), slot(0)}),
                                             node(Container::dict, {slot(3), slot(1)})});
  const Value expected = Tuple{{30, List{{10, 10}}, Dict{{{"key", 20}}}}};
  EXPECT_TRUE(bit_identical(shape.assemble({10, 20, 30, "key"}), expected));
  EXPECT_TRUE(bit_identical(node(Container::dict, {}).assemble({}), Value(Dict{})));
}

TEST(ResultShape, WhatIsMissingIsNamed) {
  EXPECT_TRUE(throws(ErrorCode::internal, "slot 4 is missing", [] { (void)slot(4).assemble({1}); }));
  const auto odd = node(Container::dict, {slot(0)});
  EXPECT_TRUE(throws(ErrorCode::internal, "without a value", [&] { (void)odd.assemble({1}); }));
}

}  // namespace
}  // namespace splitnet
