// SPDX-License-Identifier: Apache-2.0
/// \file
/// What a link between two machines can carry: constant, or recorded over time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace splitnet {

/// A recorded link: bandwidth in bins of equal length, one after the other; it begins again at its end.
/// A plain value.
struct LinkTrace {
  double bin_s = 0.1;               ///< Above 0.
  std::vector<double> bytes_per_s;  ///< One for each bin. Bins of zero are real: the link was dead.

  /// Throws invalid_argument: a length of bins that is not above 0, no bins, a bin that is negative or not finite,
  /// or nothing but zeros.
  void validate() const;
  [[nodiscard]] double length_s() const noexcept { return bin_s * static_cast<double>(bytes_per_s.size()); }
  [[nodiscard]] double mean_bytes_per_s() const noexcept;
  /// When `bytes` have gone that begin to be sent at `start_s` (seconds from the start of the trace, ≥ 0):
  /// the smallest t with ∫ bandwidth from start_s to t ≥ bytes, but for rounding. Both as seconds from the start.
  /// Takes two passes over the bins at most, however often the trace repeats. Needs a trace that is valid. Infinity
  /// when no double is large enough.
  [[nodiscard]] double finish_s(double start_s, double bytes) const;
  friend bool operator==(const LinkTrace&, const LinkTrace&) = default;
};

/// Reads `time_s,bandwidth_bit_per_s` lines with a head line, at equal distances in time. Throws unavailable (no such
/// file), corrupt (naming the line: what was found, what was expected).
LinkTrace read_link_trace(const std::string& path);

/// A link as the cost model sees it: a request of b bytes and its reply of r bytes take
///   overhead_s + rtt_s + b / up_bytes_per_s + r / down_bytes_per_s.
/// A plain value.
struct LinkProfile {
  static constexpr int schema_version = 1;

  double rtt_s = 0;             ///< An empty message there and an empty one back, beyond overhead_s.
  double jitter_s = 0;          ///< Median absolute deviation of that round trip; informs, enters no cost.
  double overhead_s = 0;        ///< For each call, whatever its size: encoding, system calls, changes of thread.
  double up_bytes_per_s = 0;    ///< From the device to the worker; above 0.
  double down_bytes_per_s = 0;  ///< From the worker to the device; above 0.

  /// Throws invalid_argument naming the field, what was found and what was expected: times are finite and not
  /// negative, bandwidths finite and above 0.
  void validate() const;
  friend bool operator==(const LinkProfile&, const LinkProfile&) = default;
};

/// Readable JSON with its schema version.
std::string to_json(const LinkProfile& profile);
/// Throws corrupt (not JSON, a field that is missing or of another type), incompatible (another schema
/// version), invalid_argument (as validate).
LinkProfile link_profile_from_json(const std::string& json);

}  // namespace splitnet
