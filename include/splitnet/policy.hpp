// SPDX-License-Identifier: Apache-2.0
/// \file
/// Says, before each inference, where its parts run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "splitnet/error.hpp"
#include "splitnet/planner.hpp"

namespace splitnet {

/// What a policy is told before an inference. Times are seconds of the session's clock, which begins with 0.
struct Situation {
  double now_s = 0;
  std::optional<double> time_left_s = {};  ///< Until the deadline.
  std::size_t in_flight = 0;               ///< Inferences under way, this one not counted.
  double bytes_under_way = 0;              ///< Of requests that have not been answered.
  bool worker_answers = true;              ///< False after a failure, until it may be tried again.
  bool device_may_finish = true;           ///< SessionOptions::finish_on_device; without, nothing is hedged.
  friend bool operator==(const Situation&, const Situation&) = default;
};

/// Why a decision fell as it did.
enum class Reason : std::uint8_t {
  fixed,           ///< There is nothing to decide.
  best,            ///< No plan is expected to be better.
  not_worth_it,    ///< Another one is expected to be better, not yet by enough to switch.
  switched,        ///< Another one was better by enough.
  raced,           ///< Device only is best as far as one can tell, but a worker may well be faster: both begin. Who is
                   ///< first answers, and either answer is that of the worker's plan, codec included.
  worker_missing,  ///< The worker does not answer just now, and is tried again soon: everything runs on the device.
  worker_tried,    ///< To hear whether it has become better again; the device begins at once all the same.
  not_ready,  ///< The plan that was decided on is being prepared: another one meanwhile, of which nothing is expected.
};
std::string_view to_string(Reason reason) noexcept;

/// What runs where.
struct Decision {
  /// Of the policy's planner; head_layers of all layers: device only. `value` is what is expected.
  SequentialPlanner::Choice choice;
  Reason reason = Reason::fixed;
  double best_value = 0;  ///< What is expected of the best plan; where both begin, of device only.
  /// So long after the request goes out the device begins with the rest as well; whoever is first gives the answer.
  /// Absent: only for a deadline.
  std::optional<double> hedge_after_s = {};
  /// Above 0: nothing has been heard of the link for long. The session sends a probe of so many bytes, beside the
  /// inference.
  std::size_t probe_bytes = 0;
  friend bool operator==(const Decision&, const Decision&) = default;
};

/// How an inference, or a probe, ended.
struct Outcome {
  double ended_s = 0;
  std::size_t head_layers = 0;  ///< Of the decision; all of them: device only.
  std::size_t codec = 0;
  double head_s = 0;       ///< On the device; 0: nothing ran there.
  double tail_s = 0;       ///< On the worker; 0: nothing ran there.
  double queue_s = 0;      ///< On the worker.
  double transport_s = 0;  ///< Both ways; 0: nothing was sent.
  double bytes_up = 0;     ///< With what was still under way before it.
  double bytes_down = 0;
  /// What the device computed of the rest beside the worker; 0 where both were to begin at once.
  double hedge_s = 0;
  /// The reply had not come when this was told; transport_s is the time so far.
  bool is_under_way = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// Thread-safe: decisions and outcomes come from different threads. Must not throw.
class Policy {
 public:
  virtual ~Policy() = default;
  /// Takes microseconds: it stands in the way of every inference.
  [[nodiscard]] virtual Decision decide(const Situation& situation) = 0;
  virtual void learn(const Outcome& outcome) = 0;
};

/// Makes the policy of a session from what it measured. Errors of policies are those of its opening.
using PolicyFactory = std::function<std::unique_ptr<Policy>(const PlanningProblem& problem, const IsLegal& is_legal,
                                                            Objective objective, const Constraints& constraints)>;

/// Always the same.
class FixedPolicy : public Policy {
 public:
  explicit FixedPolicy(const SequentialPlanner::Choice& choice) : choice_(choice) {}
  [[nodiscard]] Decision decide(const Situation&) override { return {choice_, Reason::fixed, choice_.value}; }
  void learn(const Outcome&) override {}

 private:
  const SequentialPlanner::Choice choice_;
};

}  // namespace splitnet
