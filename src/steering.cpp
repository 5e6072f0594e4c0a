// SPDX-License-Identifier: Apache-2.0
#include "steering.hpp"

#include <string>
#include <utility>

#include "elapsed.hpp"

namespace splitnet::detail {
namespace {

/// As many as may matter for what is sent behind them.
constexpr std::size_t kept_arrivals = 64;

bool both_begin(const Decision& decision) {
  return decision.hedge_after_s && *decision.hedge_after_s <= 0;
}

}  // namespace

Steering::Steering(Placer& placer, std::size_t kept_decisions)
    : placer_(placer), kept_decisions_(kept_decisions), latest_{placer.first(), {}} {
  latest_.decision.choice = placer.first_choice();
}

double Steering::now_s() const {
  return seconds_between(opened_, Clock::now());
}

Steering::Course Steering::decide(Situation situation) {
  const auto& policy = placer_.policy();
  if (!policy) return latest_;
  tell_what_is_under_way();
  situation.now_s = now_s();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, sent] : under_way_) situation.bytes_under_way += sent.bytes;
  }
  Course course;
  course.decision = policy->decide(situation);
  course.placement = placer_.find(course.decision.choice);
  const std::lock_guard lock(mutex_);
  const bool is_device_enough = both_begin(course.decision) || !situation.worker_answers;
  if (!course.placement) {
    course = is_device_enough ? Course{placer_.device_only(), {placer_.device_only_choice()}} : latest_;
    course.decision = {course.decision.choice, Reason::not_ready};
  }
  if (!both_begin(course.decision)) latest_ = course;  // Else no plan to go by without the device.
  const Decision& decision = course.decision;
  const std::string& codec = placer_.problem().codecs.at(decision.choice.codec).name;
  decisions_.push_back({++decided_, situation.now_s, decision, codec});
  if (decisions_.size() > kept_decisions_) decisions_.pop_front();
  return course;
}

/// That an answer has not come after so long says something too: once, and again after twice the time.
void Steering::tell_what_is_under_way() {
  std::vector<Outcome> news;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [number, sent] : under_way_) {
      const double so_far_s = seconds_between(sent.at, Clock::now());
      if (so_far_s < 2 * sent.told_s) continue;
      sent.told_s = so_far_s;
      Outcome outcome = outcome_of(sent.choice);
      outcome.bytes_up = sent.bytes + bytes_in_front_of(number, sent.at);
      outcome.transport_s = so_far_s;
      outcome.is_under_way = true;
      news.push_back(outcome);
    }
  }
  for (const Outcome& outcome : news) placer_.policy()->learn(outcome);
}

/// Of what was sent before and had not arrived.
double Steering::bytes_in_front_of(std::uint64_t number, Clock::time_point at) const {
  double bytes = 0;
  for (const auto& [other, sent] : under_way_) {
    if (other < number) bytes += sent.bytes;
  }
  for (const Arrival& arrival : arrivals_) {
    if (arrival.sent < at && arrival.arrived > at) bytes += arrival.bytes;
  }
  return bytes;
}

std::uint64_t Steering::went_out(Sent sent) {
  const std::lock_guard lock(mutex_);
  under_way_.emplace(++sent_, std::move(sent));
  return sent_;
}

void Steering::lost(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  under_way_.erase(number);
}

void Steering::answered(std::uint64_t number, Clock::time_point received, const HopTimes& times) {
  Outcome outcome;
  {
    const std::lock_guard lock(mutex_);
    const Sent sent = under_way_.extract(number).mapped();
    if (!placer_.policy()) return;
    outcome = outcome_of(sent.choice);
    outcome.head_s = sent.head_s;
    outcome.bytes_up = sent.bytes + bytes_in_front_of(number, sent.at);
    arrivals_.push_back({sent.at, received - as_duration(times.queue_s + times.decode_s + times.run_s), sent.bytes});
    if (arrivals_.size() > kept_arrivals) arrivals_.pop_front();
  }
  outcome.tail_s = times.run_s;
  outcome.queue_s = times.queue_s;
  outcome.transport_s = times.transport_s;
  outcome.bytes_down = static_cast<double>(times.reply_bytes);
  placer_.policy()->learn(outcome);
}

void Steering::ran_here(const Decision& decision, double head_s) {
  if (!placer_.policy()) return;
  Outcome outcome = outcome_of(decision.choice);
  outcome.head_s = head_s;
  placer_.policy()->learn(outcome);
}

void Steering::ran_beside(const Decision& decision, double rest_s) {
  if (!placer_.policy() || both_begin(decision)) return;
  Outcome outcome = outcome_of(decision.choice);
  outcome.hedge_s = rest_s;
  placer_.policy()->learn(outcome);
}

Outcome Steering::outcome_of(const SequentialPlanner::Choice& choice) const {
  Outcome outcome;
  outcome.ended_s = now_s();
  outcome.head_layers = choice.head_layers;
  outcome.codec = choice.codec;
  return outcome;
}

std::vector<DecisionRecord> Steering::decisions() const {
  const std::lock_guard lock(mutex_);
  return {decisions_.begin(), decisions_.end()};
}

}  // namespace splitnet::detail
