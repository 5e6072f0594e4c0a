// SPDX-License-Identifier: Apache-2.0
#include "aws/xray.hpp"

#include <gtest/gtest.h>

namespace splitnet::detail {
namespace {

const TraceParent kParent = {"5759e988bd862e3fe1be46a994272793", "53995c3f42cd8ad8", true};

TEST(Xray, ThereAndBack) {
  EXPECT_EQ(to_xray(kParent), "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1");
  EXPECT_EQ(parse_xray(to_xray(kParent)), kParent);
}

TEST(Xray, PartsMayStandInAnyOrderWithOthers) {
  EXPECT_EQ(
      parse_xray("Self=1-x-y;Sampled=1;Parent=53995c3f42cd8ad8;Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=1"),
      kParent);
}

TEST(Xray, WhatIsNone) {
  for (const char* text : {"", ";", "Root", "Root=1-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8",
                           "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
                           "Root=1-5759e988-bd862e3fe1be46a99427279;Parent=53995c3f42cd8ad8",
                           "Root=1-5759e98-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8",
                           "Root=1-;Parent=", "Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8"}) {
    EXPECT_EQ(parse_xray(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace splitnet::detail
