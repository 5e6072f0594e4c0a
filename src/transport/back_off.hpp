// SPDX-License-Identifier: Apache-2.0
// Pauses before attempts to connect again. Private.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

#include "splitnet/transport.hpp"

namespace splitnet::detail {

class BackOff {
 public:
  explicit BackOff(const Reconnect& options) : options_(options), random_(std::random_device()()) {}

  std::chrono::steady_clock::duration next() {
    const double most_s = std::chrono::duration<double>(next_).count();
    next_ = std::min(2 * next_, options_.longest_pause);
    return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        std::chrono::duration<double>(std::uniform_real_distribution(most_s / 2, most_s)(random_)));
  }
  void reset() { next_ = options_.first_pause; }

 private:
  const Reconnect options_;
  std::minstd_rand random_;
  std::chrono::nanoseconds next_ = options_.first_pause;
};

}  // namespace splitnet::detail
