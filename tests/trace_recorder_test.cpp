// SPDX-License-Identifier: Apache-2.0
#include "splitnet/trace_recorder.hpp"

#include <gtest/gtest.h>

#include <cereal/archives/json.hpp>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

namespace splitnet {
namespace {

TraceSpan span(std::string name, std::string inference, double start_s, double duration_s,
               std::string process = "device") {
  return {std::move(name), "trace", std::move(inference), std::move(process), start_s, duration_s};
}

/// One event, as a viewer sees it.
struct Event {
  std::string name;
  std::string kind;
  std::uint64_t process = 0;
  std::uint64_t lane = 0;
  std::uint64_t start = 0;
  std::uint64_t duration = 0;
  std::string named;  // What a metadata event gives a name.
};

std::vector<Event> events_in(const std::string& json) {
  rapidjson::Document document;
  document.Parse(json.c_str());
  EXPECT_FALSE(document.HasParseError());
  std::vector<Event> events;
  for (const auto& item : document["traceEvents"].GetArray()) {
    Event event;
    event.name = item["name"].GetString();
    event.kind = item["ph"].GetString();
    event.process = item["pid"].GetUint64();
    event.lane = item["tid"].GetUint64();
    if (event.kind == "X") {
      event.start = item["ts"].GetUint64();
      event.duration = item["dur"].GetUint64();
    } else {
      event.named = item["args"]["name"].GetString();
    }
    events.push_back(event);
  }
  return events;
}

TEST(TraceRecorder, WritesWhatChromeReads) {
  TraceRecorder recorder;
  recorder.add(span("run", "a", 100.002, 0.0015, "tcp://10.0.0.1:7070"));
  recorder.add(span("inference", "a", 100, 0.01));
  recorder.add(span("head", "a", 100, 0.001));
  const auto events = events_in(recorder.to_chrome_json());
  std::map<std::uint64_t, std::string> processes;
  std::vector<Event> complete;
  for (const Event& event : events) {
    if (event.name == "process_name") processes[event.process] = event.named;
    if (event.kind == "X") complete.push_back(event);
  }
  ASSERT_EQ(complete.size(), 3U);
  EXPECT_EQ(complete[0].name, "inference") << "what contains comes first";
  EXPECT_EQ(complete[1].name, "head");
  EXPECT_EQ(processes.at(complete[1].process), "device");
  EXPECT_EQ(complete[1].start, 0U);
  EXPECT_EQ(complete[1].duration, 1000U);
  EXPECT_EQ(processes.at(complete[2].process), "tcp://10.0.0.1:7070");
  EXPECT_EQ(complete[2].start, 2000U);
  EXPECT_EQ(complete[2].duration, 1500U);
}

TEST(TraceRecorder, InferencesAtTheSameTimeHaveLanesOfTheirOwn) {
  TraceRecorder recorder;
  for (int i = 0; i < 6; ++i) {
    const std::string name = std::to_string(i);
    recorder.add(span("inference", name, i, 2.5));
    recorder.add(span("head", name, i, 1));
    recorder.add(span("rest", name, i + 1, 1.5));
  }
  std::map<std::uint64_t, std::vector<Event>> lanes;
  for (const Event& event : events_in(recorder.to_chrome_json())) {
    if (event.kind == "X") lanes[event.lane].push_back(event);
  }
  EXPECT_EQ(lanes.size(), 3U) << "no more than were under way at once";
  for (const auto& [lane, events] : lanes) {
    std::vector<std::uint64_t> open;  // Ends of what is around.
    for (const Event& event : events) {
      while (!open.empty() && open.back() <= event.start) open.pop_back();
      const auto end = event.start + event.duration;
      EXPECT_TRUE(open.empty() || end <= open.back()) << event.name;
      open.push_back(end);
    }
  }
}

TEST(TraceRecorder, KeepsTheNewest) {
  TraceRecorder recorder(3);
  for (int i = 0; i < 5; ++i) recorder.add(span(std::to_string(i), "a", i, 1));
  ASSERT_EQ(recorder.spans().size(), 3U);
  EXPECT_EQ(recorder.spans()[0].name, "2");
  EXPECT_EQ(recorder.dropped(), 2U);
  recorder.add(span("nonsense", "a", std::numeric_limits<double>::quiet_NaN(), 1));
  recorder.add(span("nonsense", "a", 1, -1));
  EXPECT_EQ(recorder.spans().size(), 3U);
  recorder.clear();
  EXPECT_TRUE(recorder.spans().empty());
  EXPECT_TRUE(events_in(recorder.to_chrome_json()).empty());
}

TEST(TraceRecorder, NamesFromOutsideAreText) {
  TraceRecorder recorder;
  recorder.add(span("\"}],\n\xff", "a", 0, 1, "tcp://\"x\""));
  const auto events = events_in(recorder.to_chrome_json());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[2].name, "\"}],\n\ufffd");
}

TEST(TraceRecorder, SavesToAFile) {
  TraceRecorder recorder;
  recorder.add(span("head", "a", 0, 1));
  const std::string path = ::testing::TempDir() + "splitnet_trace.json";
  recorder.save(path);
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), recorder.to_chrome_json());
  (void)std::remove(path.c_str());
}

TEST(TraceRecorder, TakesSpansFromManyThreads) {
  TraceRecorder recorder(100);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) recorder.add(span("s", "a", k, 1));
      (void)recorder.to_chrome_json();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(recorder.spans().size() + recorder.dropped(), 400U);
}

}  // namespace
}  // namespace splitnet
