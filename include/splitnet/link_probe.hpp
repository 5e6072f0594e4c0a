// SPDX-License-Identifier: Apache-2.0
/// \file
/// Measures what the link to a worker can carry, over any transport.
#pragma once

#include <chrono>
#include <cstddef>

#include "splitnet/link_profile.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

/// How much is sent to measure a link. The defaults take one to three seconds.
struct LinkProbeOptions {
  std::size_t small_messages = 15;  ///< Round trips for rtt_s and jitter_s. At least 3.
  std::size_t large_messages = 5;   ///< Of the largest size, for each direction. At least 1.
  /// Before each round trip of a small message, as between requests; see ProfileOptions::pause.
  std::chrono::nanoseconds pause = std::chrono::milliseconds(30);
  /// The size of messages grows until they take so long beyond the round trip, or have max_bytes. Above 0.
  double message_s = 0.12;
  std::size_t max_bytes = std::size_t{4} << 20;                 ///< At least 4096; a worker sends 64 MiB at most.
  std::chrono::nanoseconds timeout = std::chrono::seconds(30);  ///< For all of it. Above 0.

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Sends probes (Operation::probe) to the worker behind the connection, which needs no model. The profile's
///   rtt_s + overhead_s is the median round trip of small messages; overhead_s is the part of it that one more message
///   in a
///     pipeline adds, jitter_s the median absolute deviation
///   up_bytes_per_s and down_bytes_per_s are the size of the largest messages over their median time beyond that round
///     trip (or beyond three times the jitter, where that is longer), each direction by itself
/// What the worker says it waited for a thread is taken out, but for the lower quartile of it: waking one is part of
/// every call. Takes about small_messages · pause, 3 · (small_messages + large_messages) round trips, and for each
/// direction large_messages times up to 4 · message_s.
/// Throws invalid_argument (options), deadline_exceeded (a link that carries nothing, or too little in `timeout`),
/// and as Connection::call; incompatible when the worker does not know probes, corrupt when its answers are none.
LinkProfile probe_link(Connection& connection, const LinkProbeOptions& options = {});

}  // namespace splitnet
