// SPDX-License-Identifier: Apache-2.0
#include "splitnet/trace_recorder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "json_file.hpp"
#include "json_writer.hpp"

namespace splitnet {
namespace {

/// From the beginning of an inference's first span in a process to the end of its last.
struct Extent {
  double start_s = std::numeric_limits<double>::infinity();
  double end_s = -std::numeric_limits<double>::infinity();
};

/// Where viewers draw the spans: those of one lane are one within the other or one after the other.
class Lanes {
 public:
  explicit Lanes(const std::vector<TraceSpan>& spans) {
    for (const TraceSpan& span : spans) {
      Extent& extent = extents_[key_of(span)];
      extent.start_s = std::min(extent.start_s, span.start_s);
      extent.end_s = std::max(extent.end_s, span.start_s + span.duration_s);
    }
    std::vector<std::pair<Key, Extent>> by_start(extents_.begin(), extents_.end());
    std::stable_sort(by_start.begin(), by_start.end(),
                     [](const auto& a, const auto& b) { return a.second.start_s < b.second.start_s; });
    for (const auto& [key, extent] : by_start) lane_of_[key] = take_lane(std::get<0>(key), extent);
  }

  [[nodiscard]] std::uint64_t lane_of(const TraceSpan& span) const { return lane_of_.at(key_of(span)); }
  /// By process: when its lanes are free again, one after the other.
  [[nodiscard]] const std::map<std::string, std::vector<double>>& processes() const { return processes_; }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  static Key key_of(const TraceSpan& span) { return {span.process, span.trace_id, span.span_id}; }

  /// The first lane that is free.
  std::uint64_t take_lane(const std::string& process, const Extent& extent) {
    auto& free_at_s = processes_[process];
    auto lane =
        std::find_if(free_at_s.begin(), free_at_s.end(), [&](double free_s) { return free_s <= extent.start_s; });
    if (lane == free_at_s.end()) lane = free_at_s.insert(lane, 0);
    *lane = extent.end_s;
    return static_cast<std::uint64_t>(lane - free_at_s.begin()) + 1;
  }

  std::map<Key, Extent> extents_;
  std::map<Key, std::uint64_t> lane_of_;
  std::map<std::string, std::vector<double>> processes_;
};

class ChromeJson {
 public:
  explicit ChromeJson(std::vector<TraceSpan> spans) : spans_(std::move(spans)), lanes_(spans_) {
    // What contains comes before what it contains.
    std::stable_sort(spans_.begin(), spans_.end(), [](const TraceSpan& a, const TraceSpan& b) {
      return std::pair(a.start_s, -a.duration_s) < std::pair(b.start_s, -b.duration_s);
    });
    if (!spans_.empty()) begin_s_ = spans_.front().start_s;
  }

  std::string write() {
    json_.begin_object();
    field("displayTimeUnit", "ms");
    json_.key("traceEvents");
    json_.begin_list();
    for (const auto& [process, free_at_s] : lanes_.processes()) {
      pids_.emplace(process, pids_.size() + 1);
      write_name("process_name", process, 0, process);
      for (std::size_t lane = 1; lane <= free_at_s.size(); ++lane) {
        write_name("thread_name", process, lane, "lane " + std::to_string(lane));
      }
    }
    for (const TraceSpan& span : spans_) write_span(span);
    json_.end_list();
    json_.end_object();
    return json_.take();
  }

 private:
  void field(const char* key, const std::string& text) {
    json_.key(key);
    json_.text(text);
  }
  void field(const char* key, std::uint64_t number) {
    json_.key(key);
    json_.number(number);
  }
  void place(const std::string& process, std::uint64_t lane) {
    field("pid", std::uint64_t{pids_.at(process)});
    field("tid", lane);
  }
  void write_name(const char* what, const std::string& process, std::uint64_t lane, const std::string& name) {
    json_.begin_object();
    field("name", what);
    field("ph", "M");
    place(process, lane);
    json_.key("args");
    json_.begin_object();
    field("name", name);
    json_.end_object();
    json_.end_object();
  }
  void write_span(const TraceSpan& span) {
    const std::uint64_t start = microseconds(span.start_s);
    json_.begin_object();
    field("name", span.name);
    field("cat", "splitnet");
    field("ph", "X");
    field("ts", start);
    field("dur", microseconds(span.start_s + span.duration_s) - start);
    place(span.process, lanes_.lane_of(span));
    json_.key("args");
    json_.begin_object();
    field("trace_id", span.trace_id);
    field("span_id", span.span_id);
    for (const auto& [key, value] : span.args) field(key.c_str(), value);
    json_.end_object();
    json_.end_object();
  }
  /// Both ends rounded alike, so that what touches still touches, and what lies within still does.
  [[nodiscard]] std::uint64_t microseconds(double at_s) const {
    return static_cast<std::uint64_t>(std::llround(std::max(0.0, at_s - begin_s_) * 1e6));
  }

  std::vector<TraceSpan> spans_;
  const Lanes lanes_;
  std::map<std::string, std::size_t> pids_;
  double begin_s_ = 0;
  detail::JsonWriter json_;
};

}  // namespace

void TraceRecorder::add(TraceSpan span) {
  const bool is_sound = std::isfinite(span.start_s) && std::isfinite(span.duration_s) && span.duration_s >= 0;
  const std::lock_guard lock(mutex_);
  if (!is_sound || max_spans_ == 0) {
    ++dropped_;
    return;
  }
  if (spans_.size() == max_spans_) {
    spans_.pop_front();
    ++dropped_;
  }
  spans_.push_back(std::move(span));
}

std::vector<TraceSpan> TraceRecorder::spans() const {
  const std::lock_guard lock(mutex_);
  return {spans_.begin(), spans_.end()};
}

std::uint64_t TraceRecorder::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

void TraceRecorder::clear() {
  const std::lock_guard lock(mutex_);
  spans_.clear();
  dropped_ = 0;
}

std::string TraceRecorder::to_chrome_json() const {
  return ChromeJson(spans()).write();
}

void TraceRecorder::save(const std::string& path) const {
  detail::save_text(to_chrome_json(), "trace", path);
}

}  // namespace splitnet
