// SPDX-License-Identifier: Apache-2.0
#include "splitnet/cut.hpp"

#include <gtest/gtest.h>

namespace splitnet {
namespace {

TEST(Cut, ReadsWell) {
  EXPECT_EQ(to_string(Cut::after("features.3")), "after features.3");
  EXPECT_EQ(to_string(Cut::after_index(17)), "after layer 17");
  EXPECT_EQ(to_string(Cut::of({1, 2, 3})), "3 layers");
  EXPECT_EQ(to_string(Cut::of({1})), "1 layer");
  EXPECT_EQ(to_string(Cut::at_input()), "at input");
}

TEST(Cut, IsAValue) {
  EXPECT_EQ(Cut::after("a"), Cut::after("a"));
  EXPECT_NE(Cut::after("a"), Cut::after("b"));
  EXPECT_NE(Cut::after_index(0), Cut::at_input());
  EXPECT_NE(Cut::of({}), Cut::at_input()) << "two ways of saying the same are two wishes";
}

}  // namespace
}  // namespace splitnet
