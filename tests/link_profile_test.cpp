// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_profile.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "error_of.hpp"

namespace splitnet {
namespace {

using testing::thrown_code;
using testing::throws;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// ---- LinkTrace ---------------------------------------------------------------------------------

/// 10 bytes a second, 0, 0, 30: bins of a second, 40 bytes in four.
LinkTrace with_a_gap() {
  return {1.0, {10, 0, 0, 30}};
}

/// The definition, in small steps.
double slow_finish_s(const LinkTrace& trace, double start_s, double bytes) {
  constexpr double step_s = 1e-4;
  double t = start_s;
  for (double sent = 0; sent < bytes; t += step_s) {
    const auto bin = static_cast<std::size_t>((t + step_s / 2) / trace.bin_s);
    sent += trace.bytes_per_s[bin % trace.bytes_per_s.size()] * step_s;
  }
  return t;
}

TEST(LinkTrace, KnowsItsLengthAndMean) {
  EXPECT_DOUBLE_EQ(with_a_gap().length_s(), 4.0);
  EXPECT_DOUBLE_EQ(with_a_gap().mean_bytes_per_s(), 10.0);
  EXPECT_EQ(LinkTrace{}.mean_bytes_per_s(), 0);
}

TEST(LinkTrace, FinishesInTheBinsThatItCrosses) {
  const auto trace = with_a_gap();
  EXPECT_DOUBLE_EQ(trace.finish_s(0, 5), 0.5);
  EXPECT_DOUBLE_EQ(trace.finish_s(0.5, 2), 0.7);
  EXPECT_DOUBLE_EQ(trace.finish_s(0, 13), 3.1);    // Over the gap.
  EXPECT_DOUBLE_EQ(trace.finish_s(1.2, 15), 3.5);  // Begun in the gap.
  EXPECT_DOUBLE_EQ(trace.finish_s(3.5, 20), 4.5);  // Over the end.
}

TEST(LinkTrace, FinishesAsSoonAsTheLastByteIsGone) {
  const auto trace = with_a_gap();
  EXPECT_DOUBLE_EQ(trace.finish_s(0, 10), 1.0) << "not after the dead bins behind";
  EXPECT_DOUBLE_EQ(trace.finish_s(0, 50), 5.0);
  EXPECT_DOUBLE_EQ(trace.finish_s(1, 40), 4.0 + 1.0);
  EXPECT_DOUBLE_EQ(trace.finish_s(2.5, 0), 2.5) << "nothing to send";
}

// 0.1 + 0.2 and the like: a message that just fits a bin must not wait for the next live one.
TEST(LinkTrace, DoesNotLoseALiveBinToRounding) {
  const LinkTrace trace{0.1, {3, 3, 3, 0, 0, 0, 0, 0, 0, 0}};
  for (int repeat = 0; repeat < 1000; ++repeat) {
    const double begin = repeat;
    EXPECT_NEAR(trace.finish_s(begin, 0.3 + 0.3 + 0.3), begin + 0.3, 1e-9);
    EXPECT_NEAR(trace.finish_s(begin, 0.9 * (repeat + 1)), begin + repeat + 0.3, 1e-6);
  }
}

TEST(LinkTrace, RepeatsForLongTransfersAndLateStarts) {
  const auto trace = with_a_gap();
  EXPECT_DOUBLE_EQ(trace.finish_s(0, 40e9 + 5), 4e9 + 0.5);  // At once: no loop over a billion repeats.
  EXPECT_DOUBLE_EQ(trace.finish_s(4e6 + 0.5, 2), 4e6 + 0.7);
  EXPECT_DOUBLE_EQ(trace.finish_s(7.5, 15 + 40 * 3 + 10), 8 + 4 * 3 + 1);
  EXPECT_EQ((LinkTrace{1, {5e-324}}.finish_s(0, 1)), kInfinity);
  const LinkTrace constant{0.1, {100}};
  EXPECT_NEAR(constant.finish_s(12.34, 5678), 12.34 + 56.78, 1e-9);
}

TEST(LinkTrace, FinishesAsItsDefinitionSays) {
  const LinkTrace trace{0.25, {40, 0, 7, 0, 0, 90, 13}};
  for (const double start : {0.0, 0.1, 0.25, 0.3, 0.8, 1.74, 1.75, 3.6, 17.2}) {
    for (const double bytes : {0.5, 4.0, 11.0, 37.5, 38.0, 120.0}) {
      EXPECT_NEAR(trace.finish_s(start, bytes), slow_finish_s(trace, start, bytes), 2e-3) << start << ", " << bytes;
    }
  }
}

TEST(LinkTrace, OnePieceTakesAsLongAsManyPieces) {
  const LinkTrace trace{0.1, {1000, 0, 250, 4000, 0, 0, 125}};
  double t = 0.05;
  for (int i = 0; i < 10'000; ++i) t = trace.finish_s(t, 7);
  EXPECT_NEAR(t, trace.finish_s(0.05, 70'000), 1e-6);
}

TEST(LinkTrace, ValidatesItsBins) {
  EXPECT_NO_THROW(with_a_gap().validate());
  const auto refuses = [](LinkTrace trace, const std::string& words) {
    return throws(ErrorCode::invalid_argument, words, [&] { trace.validate(); });
  };
  EXPECT_TRUE(refuses({0.1, {}}, "no bins"));
  EXPECT_TRUE(refuses({0.1, {0, 0}}, "mean"));
  EXPECT_TRUE(refuses({0.1, {1, -2}}, "bin 1 is -2"));
  EXPECT_TRUE(refuses({0.1, {kNan}}, "bin 0"));
  EXPECT_TRUE(refuses({0.1, {kInfinity}}, "bin 0"));
  EXPECT_TRUE(refuses({0, {1}}, "bin_s is 0"));
  EXPECT_TRUE(refuses({kNan, {1}}, "bin_s"));
}

// ---- files of traces ---------------------------------------------------------------------------

class LinkTraceFile : public ::testing::Test {
 protected:
  LinkTrace read(const std::string& text) const {
    std::ofstream(path, std::ios::binary) << text;
    return read_link_trace(path);
  }
  ::testing::AssertionResult refuses(const std::string& text, const std::string& words) const {
    return throws(ErrorCode::corrupt, words, [&] { (void)read(text); });
  }
  void TearDown() override { (void)std::remove(path.c_str()); }

  const std::string path = ::testing::TempDir() + "splitnet_link_trace_" +
                           ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".csv";
  const std::string head = "time_s,bandwidth_bit_per_s\n";
};

TEST_F(LinkTraceFile, GivesBytesPerSecond) {
  const auto trace = read(head + "0.0,0\n0.1,6600000\n0.2,8\n");
  EXPECT_DOUBLE_EQ(trace.bin_s, 0.1);
  EXPECT_EQ(trace.bytes_per_s, (std::vector<double>{0, 825'000, 1}));
}

TEST_F(LinkTraceFile, TakesEndsOfLinesOfBothKindsAndTimesThatAreRounded) {
  const auto trace = read("time_s,bandwidth_bit_per_s\r\n0,8\r\n0.33,16\r\n0.67,8\r\n1,8");
  EXPECT_NEAR(trace.bin_s, 1.0 / 3, 1e-12);
  EXPECT_EQ(trace.bytes_per_s, (std::vector<double>{1, 2, 1, 1}));
}

TEST_F(LinkTraceFile, NamesTheLineThatIsWrong) {
  EXPECT_TRUE(refuses("", "line 1: found '', expected 'time_s,bandwidth_bit_per_s'"));
  EXPECT_TRUE(refuses("0.0,1\n0.1,1\n", "line 1: found '0.0,1'"));
  EXPECT_TRUE(refuses(head + "0.0,1\n0.1\n", "line 3: found '0.1'"));
  EXPECT_TRUE(refuses(head + "0.0,1\n0.1,fast\n", "line 3: found '0.1,fast'"));
  EXPECT_TRUE(refuses(head + "0.0,1\n0.1,-5\n", "line 3"));
  EXPECT_TRUE(refuses(head + "0.0,1\n0.1,1,1\n", "line 3"));
  EXPECT_TRUE(refuses(head + "0.0,1\n0.1,nan\n", "line 3"));
  EXPECT_TRUE(refuses(head + "0.0,1\n\n0.1,1\n", "line 3: found ''"));
}

TEST_F(LinkTraceFile, NeedsTimesAtEqualDistances) {
  EXPECT_TRUE(refuses(head, "line 1: the file ends"));
  EXPECT_TRUE(refuses(head + "0.0,1\n", "line 2: the file ends"));
  EXPECT_TRUE(refuses(head + "0.0,1\n0.1,1\n0.3,1\n", "line 4: found 0.2 s"));
  EXPECT_TRUE(refuses(head + "0.1,1\n0.1,1\n", "line 3: found 0 s"));
  EXPECT_TRUE(refuses(head + "0.1,1\n0.0,1\n", "expected an ascending time"));
}

TEST_F(LinkTraceFile, RefusesALinkThatNeverLives) {
  EXPECT_TRUE(refuses(head + "0.0,0\n0.1,0\n", "mean of all bins"));
}

TEST_F(LinkTraceFile, SaysThatThereIsNone) {
  EXPECT_TRUE(throws(ErrorCode::unavailable, path + ".none", [&] { (void)read_link_trace(path + ".none"); }));
}

// ---- LinkProfile -------------------------------------------------------------------------------

LinkProfile example() {
  return {0.0412, 1.0 / 3, 5e-324, 1.7976931348623157e308, 12.5e6};
}

TEST(LinkProfile, ComesBackFromJsonToTheLastBit) {
  const auto json = to_json(example());
  EXPECT_EQ(link_profile_from_json(json), example()) << json;
  EXPECT_NE(json.find("\"schema_version\": 1"), std::string::npos) << json;
  EXPECT_NE(json.find("\"rtt_s\": 0.0412"), std::string::npos) << json;
}

TEST(LinkProfile, TakesIntegersAndFieldsInAnyOrder) {
  const auto profile = link_profile_from_json(
      R"({"down_bytes_per_s": 2, "up_bytes_per_s": 1, "note": "by hand", "overhead_s": 0, "rtt_s": 3,
          "schema_version": 1, "jitter_s": 0})");
  EXPECT_EQ(profile, (LinkProfile{3, 0, 0, 1, 2}));
}

TEST(LinkProfile, NamesTheFieldThatIsWrong) {
  const auto good = to_json(example());
  const auto with = [&good](const std::string& found, const std::string& instead) {
    auto json = good;
    return json.replace(json.find(found), found.size(), instead);
  };
  const auto refuses = [](const std::string& json, ErrorCode code, const std::string& words) {
    return throws(code, words, [&] { (void)link_profile_from_json(json); });
  };
  EXPECT_TRUE(refuses(with("\"jitter_s\"", "\"shiver_s\""), ErrorCode::corrupt, "jitter_s: missing"));
  EXPECT_TRUE(
      refuses(with("0.0412", "\"fast\""), ErrorCode::corrupt, "rtt_s: found something else, expected a number"));
  EXPECT_TRUE(refuses(with("0.0412", "[]"), ErrorCode::corrupt, "rtt_s"));
  EXPECT_TRUE(refuses(with("0.0412", "null"), ErrorCode::corrupt, "rtt_s"));
  EXPECT_TRUE(refuses(with("schema_version", "version"), ErrorCode::corrupt, "schema_version: missing"));
  EXPECT_TRUE(refuses(with(": 1,", ": 1.5,"), ErrorCode::corrupt, "schema_version: found"));
  EXPECT_TRUE(refuses(with(": 1,", ": 2,"), ErrorCode::incompatible, "schema_version is 2, expected 1"));
  EXPECT_TRUE(refuses(with("0.0412", "-1"), ErrorCode::invalid_argument, "rtt_s is -1, expected"));
  EXPECT_TRUE(refuses(with("0.0412", "NaN"), ErrorCode::invalid_argument, "rtt_s"));
}

TEST(LinkProfile, RefusesWhatIsNotJson) {
  const auto good = to_json(example());
  for (std::size_t length = 0; length + 2 < good.size(); ++length) {
    EXPECT_EQ(thrown_code([&] { (void)link_profile_from_json(good.substr(0, length)); }), ErrorCode::corrupt) << length;
  }
  for (const std::string text : {"[]", "{}", "7", "null", "\"text\"", "[1, 2]", "{\"schema_version\": {}}"}) {
    EXPECT_EQ(thrown_code([&] { (void)link_profile_from_json(text); }), ErrorCode::corrupt) << text;
  }
  EXPECT_TRUE(throws(ErrorCode::corrupt, "not JSON", [&] { (void)link_profile_from_json(good + "{"); }));
}

TEST(LinkProfile, RefusesNestingThatWouldExhaustTheStack) {
  for (const char* opening : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 1'000'000; ++i) text += opening;
    EXPECT_TRUE(throws(ErrorCode::corrupt, "nested deeper", [&] { (void)link_profile_from_json(text); }));
  }
  const auto good = to_json(example());
  const auto noted = "{\"note\": \"\\\"" + std::string(100, '[') + "\"," + good.substr(good.find('{') + 1);
  EXPECT_EQ(link_profile_from_json(noted), example()) << "brackets in a text are no nesting";
}

TEST(LinkProfile, ValidatesBeforeItIsWritten) {
  const auto refuses = [](double LinkProfile::*field, double value, const std::string& words) {
    auto profile = example();
    profile.*field = value;
    return throws(ErrorCode::invalid_argument, words, [&] { (void)to_json(profile); });
  };
  for (const double value : {-1.0, kNan, kInfinity}) {
    EXPECT_TRUE(refuses(&LinkProfile::rtt_s, value, "rtt_s is"));
    EXPECT_TRUE(refuses(&LinkProfile::jitter_s, value, "jitter_s is"));
    EXPECT_TRUE(refuses(&LinkProfile::overhead_s, value, "overhead_s is"));
    EXPECT_TRUE(refuses(&LinkProfile::up_bytes_per_s, value, "up_bytes_per_s is"));
    EXPECT_TRUE(refuses(&LinkProfile::down_bytes_per_s, value, "down_bytes_per_s is"));
  }
  EXPECT_TRUE(refuses(&LinkProfile::up_bytes_per_s, 0, "expected a finite number above 0"));
  EXPECT_NO_THROW((LinkProfile{0, 0, 0, 1, 1}).validate());
}

}  // namespace
}  // namespace splitnet
