// SPDX-License-Identifier: Apache-2.0
// When messages arrive that go over one direction of a modelled link. Private to the shaped transport.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "splitnet/link_profile.hpp"

namespace splitnet::detail {

/// The fields of ShapedOptions for one direction.
struct LinkModel {
  std::optional<double> bytes_per_s = std::nullopt;
  std::optional<LinkTrace> trace = std::nullopt;
  double delay_s = 0;
  double jitter_s = 0;
  double loss = 0;
  std::uint64_t seed = 0;
};

/// Time is what the caller says that it is, so that nothing here depends on when a timer fires: a link that is busy
/// carries exactly its bandwidth. Points in time never go back. Not thread-safe.
class LinkSchedule {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Arrival {
    std::uint64_t id = 0;
    TimePoint when;
    bool breaks = false;  ///< Instead of arriving, the message takes the connection with it.
  };

  LinkSchedule(LinkModel model, TimePoint start) : model_(std::move(model)), start_(start), random_(model_.seed) {}

  /// Behind everything that was sent before.
  void send(std::uint64_t id, std::size_t bytes, TimePoint now);
  /// Bytes of the messages of which the last byte has not left.
  [[nodiscard]] std::size_t waiting_bytes(TimePoint now);
  /// TimePoint::max() when nothing is on its way.
  [[nodiscard]] TimePoint next_arrival() const;
  /// In the order of sending; each is given once.
  std::vector<Arrival> take_arrived(TimePoint now);

 private:
  struct Waiting {
    double until_s = 0;
    std::size_t bytes = 0;
  };

  [[nodiscard]] double seconds(TimePoint when) const;
  [[nodiscard]] double left_s(double begin_s, std::size_t bytes) const;
  double random();

  const LinkModel model_;
  const TimePoint start_;
  std::mt19937_64 random_;
  double free_s_ = 0;  // From start_, as all seconds here.
  double last_arrival_s_ = 0;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::deque<Arrival> travelling_;
};

}  // namespace splitnet::detail
