// SPDX-License-Identifier: Apache-2.0
// Which plan an inference of a session runs with, and what its policy hears of it. Private.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "placer.hpp"
#include "splitnet/policy.hpp"
#include "splitnet/session.hpp"

namespace splitnet::detail {

/// Thread-safe. Never calls the policy under a lock.
class Steering {
 public:
  using Clock = std::chrono::steady_clock;

  /// Both outlive it.
  Steering(Placer& placer, std::size_t kept_decisions);

  struct Course {
    std::shared_ptr<const Placement> placement;
    Decision decision;
  };
  /// `situation`: without now_s and bytes_under_way.
  Course decide(Situation situation);

  /// A request, or a probe.
  struct Sent {
    Clock::time_point at;
    double bytes = 0;
    SequentialPlanner::Choice choice;
    double head_s = 0;  ///< What the device took for the head; 0 when that was told already, or nothing ran there.
    double told_s = 0;  ///< How long it was under way when the policy was told last.
  };
  /// It goes out; gives its number.
  std::uint64_t went_out(Sent sent);
  /// It ended without an answer, or with an error.
  void lost(std::uint64_t number);
  void answered(std::uint64_t number, Clock::time_point received, const HopTimes& times);
  /// The device ran the whole model, as decided.
  void ran_here(const Decision& decision, double head_s);
  /// The device ran the rest beside a worker.
  void ran_beside(const Decision& decision, double rest_s);

  [[nodiscard]] std::vector<DecisionRecord> decisions() const;

 private:
  [[nodiscard]] double now_s() const;
  void tell_what_is_under_way();
  double bytes_in_front_of(std::uint64_t number, Clock::time_point at) const;  // Under the lock.
  [[nodiscard]] Outcome outcome_of(const SequentialPlanner::Choice& choice) const;

  Placer& placer_;
  const std::size_t kept_decisions_;
  const Clock::time_point opened_ = Clock::now();

  mutable std::mutex mutex_;
  Course latest_;  // What is taken while another placement is being made.
  std::map<std::uint64_t, Sent> under_way_;
  struct Arrival {
    Clock::time_point sent;
    Clock::time_point arrived;
    double bytes = 0;
  };
  std::deque<Arrival> arrivals_;  // At the worker, of what was answered.
  std::uint64_t sent_ = 0;
  std::deque<DecisionRecord> decisions_;
  std::uint64_t decided_ = 0;
};

}  // namespace splitnet::detail
