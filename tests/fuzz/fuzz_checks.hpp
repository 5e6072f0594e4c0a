// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets have in common.
#pragma once

#include <cerrno>  // program_invocation_short_name
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "splitnet/message.hpp"

namespace splitnet::testing {

/// Ends the program, for libFuzzer to keep the input, where `holds` is false.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
  std::abort();
}

/// So that an input of a few KB can reach each of them.
inline MessageLimits small_limits() {
  MessageLimits limits;
  limits.max_message_bytes = std::size_t{1} << 20;
  limits.max_metadata_bytes = std::size_t{16} << 10;
  limits.max_tensors = 64;
  limits.max_rank = 8;
  limits.max_depth = 8;
  limits.max_values = 4096;
  return limits;
}

}  // namespace splitnet::testing
