// SPDX-License-Identifier: Apache-2.0
#include "splitnet/link_profile.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "check_number.hpp"
#include "profile_json.hpp"
#include "splitnet/error.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

using detail::check_not_negative;
using detail::check_positive;
using detail::short_number;

constexpr double kBitsPerByte = 8;
/// Of the bytes to send: rounding must not hold the last crumb of a message until a dead link wakes.
constexpr double kCrumb = 1e-12;
/// Times in a file are rounded: how far a distance may be from the first one, as a part of it.
constexpr double kUnevenness = 0.1;
constexpr std::string_view kHeadLine = "time_s,bandwidth_bit_per_s";

// ---- Files of traces.

struct TraceLine {
  double time_s = 0;
  double bit_per_s = 0;
};

[[noreturn]] void throw_corrupt(const std::string& path, std::size_t line, const std::string& what) {
  throw Error(ErrorCode::corrupt, "link trace '" + path + "', line " + std::to_string(line) + ": " + what);
}

/// All of `text` as a finite number.
std::optional<double> number_in(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::optional<TraceLine> parse_line(std::string_view text) {
  const auto comma = text.find(',');
  if (comma == std::string_view::npos) return std::nullopt;
  const auto time_s = number_in(text.substr(0, comma));
  const auto bit_per_s = number_in(text.substr(comma + 1));
  if (!time_s || !bit_per_s || *bit_per_s < 0) return std::nullopt;
  return TraceLine{*time_s, *bit_per_s};
}

/// Without the end of line, be it of one character or two.
bool read_line(std::istream& file, std::string& text) {
  if (!std::getline(file, text)) return false;
  if (text.ends_with('\r')) text.pop_back();
  return true;
}

std::vector<TraceLine> read_lines(std::istream& file, const std::string& path) {
  std::string text;
  if (!read_line(file, text) || text != kHeadLine) {
    throw_corrupt(path, 1, "found '" + text.substr(0, 80) + "', expected '" + std::string(kHeadLine) + "'");
  }
  std::vector<TraceLine> lines;
  while (read_line(file, text)) {
    const auto line = parse_line(text);
    if (!line) {
      throw_corrupt(path, lines.size() + 2,
                    "found '" + text.substr(0, 80) + "', expected a time in seconds, a comma, and bit/s, 0 or more");
    }
    lines.push_back(*line);
  }
  return lines;
}

/// The length of a bin: the mean distance, because each alone is rounded.
double even_distance(const std::vector<TraceLine>& lines, const std::string& path) {
  if (lines.size() < 2) {
    throw_corrupt(path, lines.size() + 1, "the file ends, expected two times at least, whose distance is the bin");
  }
  const double first = lines[1].time_s - lines[0].time_s;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const double distance = lines[i].time_s - lines[i - 1].time_s;
    if (distance > 0 && std::abs(distance - first) <= kUnevenness * first) continue;
    throw_corrupt(path, i + 2,
                  "found " + short_number(distance) + " s after the line before, expected " +
                      (first > 0 ? short_number(first) + " s as between the first two" : "an ascending time"));
  }
  return (lines.back().time_s - lines.front().time_s) / static_cast<double>(lines.size() - 1);
}

}  // namespace

// ---- LinkTrace.

void LinkTrace::validate() const {
  check_positive("link trace: bin_s", bin_s);
  if (bytes_per_s.empty()) {
    throw Error(ErrorCode::invalid_argument, "link trace: no bins, expected one at least");
  }
  for (std::size_t i = 0; i < bytes_per_s.size(); ++i) {
    check_not_negative("link trace: bin " + std::to_string(i), bytes_per_s[i]);
  }
  check_positive("link trace: the mean of all bins", mean_bytes_per_s());
}

double LinkTrace::mean_bytes_per_s() const noexcept {
  if (bytes_per_s.empty()) return 0;
  return std::accumulate(bytes_per_s.begin(), bytes_per_s.end(), 0.0) / static_cast<double>(bytes_per_s.size());
}

double LinkTrace::finish_s(double start_s, double bytes) const {
  if (!(bytes > 0)) return start_s;
  // From wherever it begins, one length of the trace carries the same. Something is left for the walk, or else
  // a transfer would seem to end with the dead bins behind it.
  const double bytes_per_repeat = mean_bytes_per_s() * length_s();
  const double repeats = std::max(0.0, std::ceil(bytes / bytes_per_repeat * (1 - kCrumb)) - 1);
  start_s += repeats * length_s();
  if (!std::isfinite(start_s)) return std::numeric_limits<double>::infinity();
  double left = bytes - repeats * bytes_per_repeat;

  const double first_bin = std::floor(start_s / bin_s);
  const auto bins = bytes_per_s.size();
  const auto first_index = static_cast<std::size_t>(std::fmod(first_bin, static_cast<double>(bins)));
  for (std::size_t step = 0; step <= bins; ++step) {
    const double speed = bytes_per_s[(first_index + step) % bins];
    if (speed <= 0) continue;
    const double begin_s = std::max(start_s, (first_bin + static_cast<double>(step)) * bin_s);
    const double end_s = std::max(begin_s, (first_bin + static_cast<double>(step + 1)) * bin_s);
    const double room = speed * (end_s - begin_s);
    if (left - room <= kCrumb * bytes) return std::min(end_s, begin_s + left / speed);
    left -= room;
  }
  return start_s + length_s();  // All but rounding has gone.
}

LinkTrace read_link_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::unavailable, "link trace '" + path + "': can't be read");
  const auto lines = read_lines(file, path);
  LinkTrace trace;
  trace.bin_s = even_distance(lines, path);
  trace.bytes_per_s.reserve(lines.size());
  for (const auto& line : lines) trace.bytes_per_s.push_back(line.bit_per_s / kBitsPerByte);
  try {
    trace.validate();
  } catch (const Error& error) {
    throw Error(ErrorCode::corrupt, "'" + path + "': " + error.what());
  }
  return trace;
}

// ---- LinkProfile.

void LinkProfile::validate() const {
  check_not_negative("link profile: rtt_s", rtt_s);
  check_not_negative("link profile: jitter_s", jitter_s);
  check_not_negative("link profile: overhead_s", overhead_s);
  check_positive("link profile: up_bytes_per_s", up_bytes_per_s);
  check_positive("link profile: down_bytes_per_s", down_bytes_per_s);
}

std::string to_json(const LinkProfile& profile) {
  profile.validate();
  return detail::write_json(profile);
}

LinkProfile link_profile_from_json(const std::string& json) {
  const auto profile = detail::read_json<LinkProfile>(json, "link profile");
  profile.validate();
  return profile;
}

}  // namespace splitnet
