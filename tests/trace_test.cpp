// SPDX-License-Identifier: Apache-2.0
#include "splitnet/trace.hpp"

#include <gtest/gtest.h>

#include <set>

#include "error_of.hpp"

namespace splitnet {
namespace {

// The example of the standard.
const std::string trace_id = "0af7651916cd43dd8448eb211c80319c";
const std::string span_id = "b7ad6b7169203331";
const std::string example = "00-" + trace_id + "-" + span_id + "-01";

TEST(Trace, ReadsAndWritesTheExampleOfTheStandard) {
  const auto parent = parse_traceparent(example);
  ASSERT_TRUE(parent);
  EXPECT_EQ(*parent, (TraceParent{trace_id, span_id, true}));
  EXPECT_EQ(to_string(*parent), example);
  EXPECT_FALSE(parse_traceparent("00-" + trace_id + "-" + span_id + "-00")->sampled);
  EXPECT_TRUE(parse_traceparent("00-" + trace_id + "-" + span_id + "-ff")->sampled) << "unknown flags";
}

TEST(Trace, ReadsWhatLaterVersionsHaveInCommon) {
  EXPECT_TRUE(parse_traceparent("01-" + trace_id + "-" + span_id + "-01"));
  EXPECT_TRUE(parse_traceparent("cc-" + trace_id + "-" + span_id + "-01-what-comes-then"));
  EXPECT_FALSE(parse_traceparent("cc-" + trace_id + "-" + span_id + "-01.what"));
  EXPECT_FALSE(parse_traceparent("ff-" + trace_id + "-" + span_id + "-01"));
}

/// It may become part of a head of HTTP.
TEST(Trace, RefusesWhatCanNotStandInAHeadAlsoOfLaterVersions) {
  const std::string later = "cc-" + trace_id + "-" + span_id + "-01-";
  for (int c = 0; c < 256; ++c) {
    const std::string text = later + "x" + static_cast<char>(c) + "x";
    EXPECT_EQ(parse_traceparent(text).has_value(), c > ' ' && c <= '~') << c;
  }
  EXPECT_FALSE(parse_traceparent(later + "\r\nEvil: 1"));
  EXPECT_TRUE(parse_traceparent(later + std::string(512 - later.size(), 'x')));
  EXPECT_FALSE(parse_traceparent(later + std::string(513 - later.size(), 'x')));
  for (int c = 0; c < 256; ++c) {
    const std::string text = std::string("a=1") + static_cast<char>(c) + "2";
    EXPECT_EQ(is_tracestate(text), (c >= ' ' && c <= '~') || c == '\t') << c;
  }
}

TEST(Trace, RefusesWhatIsNotWellFormed) {
  const std::string zeros(32, '0');
  for (const std::string& bad :
       {std::string(), example + "0", example + "-01", example.substr(1), " " + example,
        "00-" + zeros + "-" + span_id + "-01", "00-" + trace_id + "-" + zeros.substr(16) + "-01",
        "00-0AF7651916CD43DD8448EB211C80319C-" + span_id + "-01", "00-" + trace_id + "-" + span_id + "-0x",
        "0g-" + trace_id + "-" + span_id + "-01", "00_" + trace_id + "-" + span_id + "-01"}) {
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
  }
  for (std::size_t i = 0; i < example.size(); ++i) {
    std::string damaged = example;
    damaged[i] = '\n';
    EXPECT_FALSE(parse_traceparent(damaged)) << i;
    EXPECT_FALSE(parse_traceparent(example.substr(0, i))) << i;
  }
}

TEST(Trace, AChildIsOfTheSameTrace) {
  const TraceContext context{example, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"};
  const TraceContext child = child_of(context);
  const auto parent = parse_traceparent(child.traceparent);
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->trace_id, trace_id);
  EXPECT_NE(parent->span_id, span_id);
  EXPECT_TRUE(parent->sampled);
  EXPECT_EQ(child.tracestate, context.tracestate);
  EXPECT_EQ(child_of({example, "no header\r\nX: y"}).tracestate, "");
  EXPECT_EQ(child_of({example, std::string(513, 'x')}).tracestate, "");
  EXPECT_EQ(testing::thrown_code([] { (void)child_of({"rubbish", ""}); }), ErrorCode::invalid_argument);
}

TEST(Trace, NewOnesDiffer) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const auto parent = parse_traceparent(new_trace(i % 2 == 0).traceparent);
    ASSERT_TRUE(parent);
    EXPECT_EQ(parent->sampled, i % 2 == 0);
    ids.insert(parent->trace_id);
    ids.insert(parent->span_id);
  }
  EXPECT_EQ(ids.size(), 200U);
}

}  // namespace
}  // namespace splitnet
