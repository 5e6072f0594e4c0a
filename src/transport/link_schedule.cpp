// SPDX-License-Identifier: Apache-2.0
#include "link_schedule.hpp"

#include <algorithm>

namespace splitnet::detail {
namespace {

/// Ten years stand for never: the clock could not count much further.
constexpr double kNever_s = 10.0 * 365 * 24 * 3600;

}  // namespace

double LinkSchedule::seconds(TimePoint when) const {
  return std::chrono::duration<double>(when - start_).count();
}

/// In [0, 1); the distributions of the standard library differ from one to the next.
double LinkSchedule::random() {
  return static_cast<double>(random_() >> 11) * 0x1p-53;
}

double LinkSchedule::left_s(double begin_s, std::size_t bytes) const {
  const auto amount = static_cast<double>(bytes);
  if (model_.trace) return model_.trace->finish_s(begin_s, amount);
  return model_.bytes_per_s ? begin_s + amount / *model_.bytes_per_s : begin_s;
}

void LinkSchedule::send(std::uint64_t id, std::size_t bytes, TimePoint now) {
  free_s_ = std::min(left_s(std::max(seconds(now), free_s_), bytes), kNever_s);
  waiting_.push_back({free_s_, bytes});
  waiting_bytes_ += bytes;
  // Both are drawn for every message: another probability gives the same jitter.
  const double more_s = model_.jitter_s * random();
  const bool breaks = random() < model_.loss;
  last_arrival_s_ = std::min(std::max(last_arrival_s_, free_s_ + model_.delay_s + more_s), kNever_s);
  const auto after = std::chrono::ceil<TimePoint::duration>(std::chrono::duration<double>(last_arrival_s_));
  travelling_.push_back({id, start_ + after, breaks});
}

std::size_t LinkSchedule::waiting_bytes(TimePoint now) {
  while (!waiting_.empty() && waiting_.front().until_s <= seconds(now)) {
    waiting_bytes_ -= waiting_.front().bytes;
    waiting_.pop_front();
  }
  return waiting_bytes_;
}

LinkSchedule::TimePoint LinkSchedule::next_arrival() const {
  return travelling_.empty() ? TimePoint::max() : travelling_.front().when;
}

std::vector<LinkSchedule::Arrival> LinkSchedule::take_arrived(TimePoint now) {
  std::vector<Arrival> arrived;
  while (next_arrival() <= now) {
    arrived.push_back(travelling_.front());
    travelling_.pop_front();
  }
  return arrived;
}

}  // namespace splitnet::detail
