// SPDX-License-Identifier: Apache-2.0
/// \file
/// `shaped://KEY=VALUE,…@INNER`: any other transport behind a modelled link. docs/transports.md says what is modelled.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "splitnet/link_profile.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

/// Each direction is a serial link: a message of n bytes on the wire begins to leave when the one before it has left,
/// is gone n / bandwidth later, and arrives delay_s and up to jitter_s after that. A plain value.
struct ShapedOptions {
  std::optional<double> up_bytes_per_s;    ///< For requests, above 0; absent: unlimited.
  std::optional<double> down_bytes_per_s;  ///< For replies, above 0; absent: unlimited.
  std::optional<LinkTrace> up_trace;       ///< Instead of up_bytes_per_s; time runs from connect.
  std::optional<LinkTrace> down_trace;     ///< Instead of down_bytes_per_s.
  double delay_s = 0;                      ///< One way, in each direction; half of a round trip.
  double jitter_s = 0;                     ///< More delay, uniform in [0, jitter_s]; messages keep their order.
  /// Probability for each message that the connection breaks where it should have arrived: all calls end with
  /// unavailable, and later ones too.
  double loss = 0;
  std::uint64_t seed = 0;  ///< Of jitter and loss; every connection begins with it anew.

  /// Throws invalid_argument naming the field, what was found and what was expected.
  void validate() const;
  friend bool operator==(const ShapedOptions&, const ShapedOptions&) = default;
};

/// From `KEY=VALUE,KEY=VALUE`, each key once at most, for example `up=10Mbit,down=50Mbit,delay=20ms`:
///   up, down              bit, kbit, Mbit or Gbit (decimal, per second)
///   up_trace, down_trace  a file for read_link_trace; neither ',' nor '@' can be in its path
///   delay, jitter         s, ms or us
///   loss, seed            numbers
/// Throws invalid_argument, also for a trace that can't be read.
ShapedOptions parse_shaped_options(const std::string& text);

/// Endpoints are `shaped://OPTIONS@INNER` with options as above and INNER an endpoint of a transport in `inner`, which
/// are named by their schemes: `shaped://up=10Mbit,delay=20ms@tcp://127.0.0.1:7070`. All shaping is done where
/// `connect` is called. `listen` listens on INNER; its address has the same options in front.
std::shared_ptr<Transport> make_shaped_transport(std::map<std::string, std::shared_ptr<Transport>> inner);

/// The endpoints of `inner`, all behind the same link. Throws invalid_argument (as validate, or no transport).
std::shared_ptr<Transport> make_shaped_transport(std::shared_ptr<Transport> inner, ShapedOptions options);

}  // namespace splitnet
