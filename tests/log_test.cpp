// SPDX-License-Identifier: Apache-2.0
#include "splitnet/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cereal/archives/json.hpp>
#include <limits>
#include <sstream>

#include "utf8.hpp"

namespace splitnet {
namespace {

using ::testing::HasSubstr;

constexpr std::chrono::system_clock::time_point some_time{std::chrono::milliseconds(1'795'885'262'007)};

LogRecord record_with(std::string_view message, std::vector<LogField> fields = {}) {
  return {LogLevel::warning, message, std::move(fields), some_time};
}

/// What a JSON parser makes of a member.
std::string member(const std::string& json, const char* name) {
  std::istringstream text(json);
  cereal::JSONInputArchive archive(text);
  std::string value;
  archive(cereal::make_nvp(name, value));
  return value;
}

TEST(Log, WritesALineOfText) {
  EXPECT_EQ(to_text(record_with("no room", {{"model", "net"}, {"request_id", std::uint64_t{7}}, {"queue_s", 0.25}})),
            "2026-11-28T17:01:02.007Z warning no room model=net request_id=7 queue_s=0.25");
  EXPECT_EQ(to_text(record_with("m", {{"a", "two words"}, {"b", ""}, {"c", "say \"a=b\\\""}})),
            "2026-11-28T17:01:02.007Z warning m a=\"two words\" b=\"\" c=\"say \\\"a=b\\\\\\\"\"");
}

TEST(Log, WritesALineOfJson) {
  EXPECT_EQ(to_json(record_with("no room", {{"model", "net"}, {"request_id", std::uint64_t{7}}, {"queue_s", 0.25}})),
            R"({"time":"2026-11-28T17:01:02.007Z","level":"warning","message":"no room","model":"net","request_id":7,)"
            R"("queue_s":0.25})");
  EXPECT_THAT(to_json(record_with("m", {{"x", std::numeric_limits<double>::quiet_NaN()}})), HasSubstr("\"x\":null}"));
  EXPECT_THAT(to_json(record_with("m", {{"x", std::numeric_limits<std::uint64_t>::max()}})),
              HasSubstr("\"x\":18446744073709551615}"));
}

TEST(Log, NothingFromOutsideMakesALineOrSteersATerminal) {
  const std::string nasty = "a\nb\r\x1b[2J\x7f\xc2\x9b\xe2\x80\xa8 ü €";
  EXPECT_THAT(to_text(record_with(nasty, {{"peer", nasty}})), HasSubstr("a?b??[2J??? ü € peer=\"a?b??[2J??? ü €\""));
  EXPECT_THAT(to_text(record_with(std::string_view("a\0b", 3))), HasSubstr("a?b"));
  const auto json = to_json(record_with(nasty, {{"peer", nasty}}));
  for (const char c : json) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_EQ(member(json, "message"), nasty);
  EXPECT_EQ(member(json, "peer"), nasty);
  EXPECT_THAT(to_json(record_with(std::string_view("a\0b", 3))), HasSubstr("a\\u0000b"));
}

TEST(Log, WhatIsNoUtf8IsReplaced) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"plain ä € 😀", "plain ä € 😀"},
      {"\xff", "\ufffd"},
      {"a\x80z", "a\ufffdz"},
      {"\xc3", "\ufffd"},              // Cut off.
      {"\xe2\x82z", "\ufffdz"},        // Cut off by something else.
      {"\xc0\xaf", "\ufffd\ufffd"},    // '/' in two bytes.
      {"\xe0\x80\xaf", "\ufffd"},      // Likewise in three.
      {"\xed\xa0\x80", "\ufffd"},      // Half of a surrogate pair.
      {"\xf4\x90\x80\x80", "\ufffd"},  // Beyond Unicode.
      {"\xf5\x80\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
  };
  for (const auto& [bytes, expected] : cases) {
    EXPECT_EQ(detail::valid_utf8(bytes), expected);
    EXPECT_EQ(member(to_json(record_with(bytes)), "message"), expected);
  }
}

TEST(Log, TimesBefore1970AreNoTrouble) {
  LogRecord record = record_with("m");
  record.time = std::chrono::system_clock::time_point(std::chrono::milliseconds(-1));
  EXPECT_THAT(to_text(record), HasSubstr("1969-12-31T23:59:59.999Z"));
}

}  // namespace
}  // namespace splitnet
