// SPDX-License-Identifier: Apache-2.0
// What a session runs on the device: heads, and what workers leave to it.
#include <algorithm>
#include <utility>

#include "elapsed.hpp"
#include "picture_inputs.hpp"
#include "session_impl.hpp"

namespace splitnet {

using detail::as_duration;
using detail::seconds_between;

namespace {

/// For waking threads, in front of a deadline: at least so long, and this share of the time that is left.
constexpr auto least_hedge_slack = std::chrono::milliseconds(5);
constexpr int hedge_slack_share = 20;
/// How long an answer is waited for that the caller needs no more; it still tells of worker and link.
constexpr auto late_reply_patience = std::chrono::seconds(10);

}  // namespace

// ---- The head.

void Session::Impl::run_head(const InferencePtr& inference) {
  if (inference->finished) return;
  inference->throw_if_expired();
  decide(*inference);
  auto outputs = head_outputs(*inference);
  inference->throw_if_expired();
  std::optional<Answer> complete;
  {
    const std::lock_guard lock(inference->mutex);
    if (outputs) inference->progress.take(inference->placement->head->info(), std::move(*outputs));
    complete = advance(*inference);
  }
  go_on(inference, std::move(complete));
}

void Session::Impl::decide(Inference& inference) {
  Situation situation;
  if (inference.deadline) situation.time_left_s = seconds_between(Clock::now(), *inference.deadline);
  situation.worker_answers = a_worker_may_be_asked();
  situation.device_may_finish = options_.finish_on_device;
  {
    const std::lock_guard lock(mutex_);
    situation.in_flight = places_taken_ > 0 ? places_taken_ - 1 : 0;  // It may have been ended just now.
  }
  auto course = steering_->decide(situation);
  inference.placement = std::move(course.placement);
  inference.decision = course.decision;
  if (inference.decision.probe_bytes > 0) probe(inference.decision.probe_bytes);
}

/// None: picture files are the boundary, as they are.
std::optional<std::vector<Value>> Session::Impl::head_outputs(Inference& inference) {
  const Placement& placement = *inference.placement;
  const StageInfo& info = placement.head->info();
  StepTimes& times = inference.progress.times;
  std::optional<DeviceTurns::Turn> turn;
  if (!placement.head_is_empty) turn.emplace(device_, DeviceTurns::For::head);
  const auto turn_came = Clock::now();
  times.wait_s = seconds_between(inference.begun, turn_came);
  inference.trace.step("wait", inference.begun, turn_came);
  inference.throw_if_expired();
  if (inference.inputs.size() != info.inputs.size()) {
    throw Error(ErrorCode::invalid_argument, "the model takes " + std::to_string(info.inputs.size()) + " inputs, " +
                                                 std::to_string(inference.inputs.size()) + " were given");
  }
  std::string pictures = detail::frame_pictures(*model_, info, inference.inputs);
  if (!pictures.empty() && placement.passed_inputs) {
    for (const std::size_t input : *placement.passed_inputs) {
      inference.progress.boundary.push_back(std::move(inference.inputs[input]));
    }
    inference.progress.framed_for = std::move(pictures);
    return std::nullopt;
  }
  if (!pictures.empty()) decode_pictures(inference, pictures);
  const auto begun = Clock::now();
  auto outputs = placement.head->run(std::move(inference.inputs));
  const auto end = Clock::now();
  times.head_s = seconds_between(begun, end);
  inference.trace.step("head", begun, end);
  pass_times_.note(placement.head_s, times.head_s);
  return outputs;
}

/// The head needs the tensors.
void Session::Impl::decode_pictures(Inference& inference, const std::string& codec) const {
  const auto start = Clock::now();
  inference.inputs = decode_values(*options_.codec_registry.make(codec), std::move(inference.inputs));
  const auto end = Clock::now();
  inference.progress.times.input_decode_s = seconds_between(start, end);
  inference.trace.step("input decode", start, end);
}

// ---- The rest.

/// When the device begins with the rest, if no answer has come: at the last moment that meets the deadline, or earlier,
/// when the policy wants it so.
void Session::Impl::plan_hedge(const InferencePtr& inference) {
  if (!options_.finish_on_device) return;
  auto at = Clock::time_point::max();
  {
    const std::scoped_lock lock(inference->mutex, mutex_);
    const Progress& progress = inference->progress;
    if (inference->is_finished_here) return;
    if (inference->deadline) at = last_moment(inference);
    inference->is_hedge_for_deadline = true;
    if (inference->decision.hedge_after_s && progress.hop == 0 && !progress.refined) {
      const auto wanted = Clock::now() + as_duration(*inference->decision.hedge_after_s);
      inference->is_hedge_for_deadline = at <= wanted;
      at = std::min(at, wanted);
    }
  }
  cancel_hedge(*inference);  // Of the hop before.
  if (at == Clock::time_point::max()) return;
  const auto alarm = agenda_->at(at, [this, gone = std::weak_ptr<Inference>(inference)] {
    const InferencePtr late = gone.lock();
    if (late) guarded(late, [&] { finish_here(late); });
  });
  const std::lock_guard lock(inference->mutex);
  inference->hedge = alarm;
}

/// That lets the device do what else is due by then as well.
Session::Impl::Clock::time_point Session::Impl::last_moment(const InferencePtr& inference) {
  const Placement& placement = *inference->placement;
  const auto left = *inference->deadline - Clock::now();
  const Progress& progress = inference->progress;
  const int passes = progress.again.empty() ? 1 : 2;  // The answer may be too close.
  const double rest_s = passes * placement.hops[progress.hop].rest_s;
  if (rest_s == 0) return *inference->deadline - left / 2;
  const auto known = unfinished_.find(inference);
  if (known != unfinished_.end()) known->second = rest_s;
  // A head that has begun by then can't be interrupted; with a policy it may be that of any plan.
  const Placement& longest = placer_->device_only() ? *placer_->device_only() : placement;
  double due_s = options_.max_in_flight > 1 ? longest.head_s : 0;
  for (const auto& [other, other_rest_s] : unfinished_) {
    if (other->deadline && *other->deadline <= *inference->deadline) due_s += other_rest_s;
  }
  const auto slack = std::max<Clock::duration>(least_hedge_slack, left / hedge_slack_share);
  return *inference->deadline - as_duration(due_s * pass_times_.p99()) - slack;
}

void Session::Impl::cancel_hedge(Inference& inference) {
  std::optional<Agenda::AlarmId> alarm;
  {
    const std::lock_guard lock(inference.mutex);
    alarm = std::exchange(inference.hedge, std::nullopt);
  }
  if (alarm) agenda_->cancel(*alarm);
}

/// Once. A worker may still be first.
void Session::Impl::finish_here(const InferencePtr& inference) {
  auto progress = std::make_shared<Progress>();
  bool is_beside_worker = false;
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->finished || inference->is_complete || std::exchange(inference->is_finished_here, true)) return;
    *progress = inference->progress;
    is_beside_worker = inference->is_asked;
  }
  agenda_->add(Agenda::Order::first, [this, inference, progress, is_beside_worker] {
    guarded([&] { run_rest(inference, *progress, is_beside_worker); },
            [&](const Error& error) { give_up_here(inference, error); });
  });
}

void Session::Impl::run_rest(const InferencePtr& inference, Progress& progress, bool is_beside_worker) {
  if (inference->finished) return;
  const Placement& placement = *inference->placement;
  const double expected_s = placement.hops[progress.hop].rest_s;
  double rest_s = 0;
  {
    const DeviceTurns::Turn turn(device_, DeviceTurns::For::rest);
    inference->throw_if_expired();
    const auto begun = Clock::now();
    {
      const std::lock_guard lock(inference->mutex);
      inference->has_begun_here = true;
      if (inference->requests > 0) progress.times.device_wait_s = seconds_between(inference->asked_at, begun);
    }
    progress.run_rest(placement, options_.codec_registry);
    rest_s = seconds_between(begun, Clock::now());
    pass_times_.note(expected_s, rest_s);
    if (progress.begins_again(placement)) {
      progress.encode_boundary(placement, inference->trace);
      progress.times.hops.pop_back();  // Nothing is sent.
      progress.run_rest(placement, options_.codec_registry);
    }
    const auto end = Clock::now();
    rest_s = seconds_between(begun, end);
    inference->trace.step("rest", begun, end);
  }
  progress.times.rest_s = rest_s;
  count([&](SessionStats& stats) { stats.finishing_s += rest_s; });
  if (is_beside_worker) steering_->ran_beside(inference->decision, rest_s);
  inference->throw_if_expired();
  std::shared_ptr<RemoteWorker> silent;
  bool is_asked = false;
  std::optional<Answer> answer;
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->finished || inference->is_complete) return;
    answer.emplace(inference->answer(*model_, std::move(progress)));
    inference->is_complete = true;
    is_asked = inference->is_asked;
    if (is_asked && inference->is_hedge_for_deadline) {
      silent = inference->worker;
      inference->is_silence_noted = true;
    }
  }
  finish(inference, std::move(*answer));
  if (silent) silent->note_silence();
  if (!is_asked) return;
  agenda_->at(Clock::now() + late_reply_patience,
              [source = inference->end_requests]() mutable { source.request_stop(); });
}

/// Nothing is lost as long as a worker may answer.
void Session::Impl::give_up_here(const InferencePtr& inference, const Error& error) {
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->is_complete) return;
    if (inference->is_asked && !detail::is_final(error.code())) {
      inference->is_finished_here = false;
      return;
    }
  }
  finish(inference, error);
}

}  // namespace splitnet
