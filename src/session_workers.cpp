// SPDX-License-Identifier: Apache-2.0
// What a session has workers do.
#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <utility>

#include "elapsed.hpp"
#include "session_impl.hpp"

namespace splitnet {

using detail::as_duration;
using detail::at_worker;
using detail::seconds_between;
using detail::Steering;

namespace {

/// Another session's tables may push this one's out again before its request is there.
constexpr int most_prepared_again = 4;
/// Before a retry without a hint; and what a hint is believed.
constexpr auto retry_pause = std::chrono::milliseconds(10);
constexpr double longest_hint_s = 60;
constexpr auto probe_patience = std::chrono::seconds(10);

/// So that those who were refused together do not come back together.
std::chrono::steady_clock::duration jittered(std::chrono::steady_clock::duration pause) {
  thread_local std::minstd_rand random{std::random_device()()};
  return as_duration(detail::in_seconds(pause) * std::uniform_real_distribution(1.0, 1.5)(random));
}

double hint_s(const Error& error) {
  return std::min(error.retry_after_s().value_or(0), longest_hint_s);
}

/// Throws what is there instead.
Message& reply_in(CallResult& result) {
  if (const auto* error = std::get_if<Error>(&result)) throw *error;
  auto& reply = std::get<Message>(result);
  reply.throw_if_error();
  return reply;
}

/// The worker's word on its times, as far as it can be true.
double reported_s(const Message& reply, const std::string& step, double at_most_s) {
  const auto found = reply.times_s.find(step);
  if (found == reply.times_s.end() || !(found->second >= 0)) return 0;
  return std::min(found->second, at_most_s);
}

/// `forwarded`: how many further workers had a part in the reply.
HopTimes times_of(const Message& reply, std::size_t forwarded, double round_trip_s) {
  double left_s = round_trip_s;  // No step can have taken more.
  const auto take_s = [&](const std::string& step) {
    const double step_s = reported_s(reply, step, left_s);
    left_s -= step_s;
    return step_s;
  };
  HopTimes times;
  std::string at;
  for (std::size_t i = 0; i <= forwarded; ++i, at += "next.") {
    times.run_s += take_s(at + "run");
    times.decode_s += take_s(at + "decode") + take_s(at + "encode");
    times.queue_s += take_s(at + "queue") + take_s(at + "slice");
  }
  times.transport_s = left_s;
  times.reply_bytes = static_cast<std::int64_t>(packed_bytes(reply.values));
  return times;
}

}  // namespace

// ---- From one boundary to the next.

/// Under the inference's lock: to the next request, or to the answer. What the device may finish is never between the
/// two.
std::optional<Answer> Session::Impl::advance(Inference& inference) {
  Progress& progress = inference.progress;
  const Placement& placement = *inference.placement;
  if (!progress.go_to_next_hop(placement)) {
    std::optional<Answer> answer(inference.answer(*model_, std::move(progress)));
    inference.is_complete = true;
    return answer;
  }
  const detail::Hop& hop = placement.hops[progress.hop];
  StageRequest& request = progress.sent.request;
  request.model = options_.model_name;
  request.fingerprint = model_->fingerprint();
  request.stage = hop.key;
  request.next = hop.next;
  progress.encode_boundary(placement, inference.trace);
  return std::nullopt;
}

void Session::Impl::go_on(const InferencePtr& inference, std::optional<Answer> complete) {
  if (complete) {
    if (inference->placement->hops.empty()) steering_->ran_here(inference->decision, complete->times.head_s);
    return finish(inference, std::move(*complete));
  }
  plan_hedge(inference);
  ask(inference, false);
}

// ---- Asking.

bool Session::Impl::a_worker_may_be_asked() const {
  if (workers_.empty()) return false;
  const auto may = [](const auto& worker) { return worker->breaker().would_allow(); };
  return std::any_of(workers_.front().begin(), workers_.front().end(), may);
}

/// The first worker that may be asked; else the device, or later.
void Session::Impl::ask(const InferencePtr& inference, bool is_retry) {
  if (!is_retry) retries_.note_request();
  RemoteWorkers workers;
  bool may_wait = false;
  {
    const std::lock_guard lock(inference->mutex);
    workers = workers_of(*inference);
    may_wait = inference->deadline || inference->waits++ < options_.max_retries;
    // The one who could not do it is asked again if there is nobody else.
    if (is_retry)
      std::stable_partition(workers.begin(), workers.end(), std::bind_front(std::not_equal_to<>(), inference->worker));
  }
  auto next_try = Clock::time_point::max();
  for (const auto& worker : workers) {
    if (worker->breaker().allows()) return ask_worker(inference, worker);
    next_try = std::min(next_try, worker->breaker().next_try());
  }
  if (options_.finish_on_device) return finish_here(inference);
  next_try = std::max(next_try, Clock::now() + jittered(retry_pause));
  if (!may_wait || (inference->deadline && next_try >= *inference->deadline)) {
    throw Error(ErrorCode::unavailable,
                "worker " + workers.front()->endpoint() +
                    " failed a moment ago, and is not asked again yet: " + workers.front()->last_failure());
  }
  ask_later(inference, next_try);
}

void Session::Impl::ask_later(const InferencePtr& inference, Clock::time_point at) {
  if (inference->deadline) at = std::min(at, *inference->deadline);
  agenda_->at(at, [this, inference] {
    guarded(inference, [&] {
      inference->throw_if_expired();
      if (!inference->finished) ask(inference, true);
    });
  });
}

void Session::Impl::ask_worker(const InferencePtr& inference, const WorkerPtr& worker) {
  Message request;
  Attempt attempt{0, worker, Clock::now()};
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->finished || inference->is_complete) return worker->breaker().gave_up();
    const Progress& progress = inference->progress;
    request = progress.sent;
    Steering::Sent sent;
    sent.at = attempt.at;
    sent.bytes = static_cast<double>(progress.times.hops.back().request_bytes);
    sent.choice = inference->decision.choice;
    if (inference->requests == 0) sent.head_s = progress.times.head_s;
    inference->attempt = attempt.number = steering_->went_out(sent);
    inference->worker = worker;
    inference->asked_at = attempt.at;
    inference->is_asked = true;
    ++inference->requests;
  }
  count([](SessionStats& stats) { ++stats.requests; });
  try {
    worker->connection()->call(std::move(request), inference->deadline, inference->end_requests.get_token(),
                               [self = shared_from_this(), inference, attempt](CallResult result) {
                                 self->guarded(inference,
                                               [&] { self->receive(inference, attempt, std::move(result)); });
                               });
  } catch (...) {
    steering_->lost(attempt.number);
    worker->breaker().gave_up();
    throw;
  }
}

/// The worker has been started anew since, or has taken in tables of others and forgotten these.
void Session::Impl::prepare_again(const InferencePtr& inference, const Attempt& attempt) {
  Message request;
  {
    const std::lock_guard lock(inference->mutex);
    const Progress& progress = inference->progress;
    request = placer_->preparation(*inference->placement, inference->placement->hops[progress.hop],
                                   progress.sent.request.codec);
  }
  attempt.worker->connection()->call(
      std::move(request), inference->deadline, inference->end_requests.get_token(),
      [self = shared_from_this(), inference, attempt](CallResult result) {
        self->guarded(inference, [&] { self->receive_preparation(inference, attempt, std::move(result)); });
      });
}

void Session::Impl::receive_preparation(const InferencePtr& inference, const Attempt& attempt, CallResult result) {
  std::optional<Error> error;
  try {
    reply_in(result);
    attempt.worker->note_reply();
  } catch (const Error& thrown) {
    error = thrown;
    note_failure(*attempt.worker, thrown);
  }
  {
    const std::lock_guard lock(inference->mutex);
    if (attempt.number != inference->attempt || inference->finished) return;
  }
  if (error) return recover(inference, at_worker(attempt.worker->endpoint(), *error));
  ask_worker(inference, attempt.worker);
}

/// Beside the inference; its answer is for the policy.
void Session::Impl::probe(std::size_t bytes) {
  const RemoteWorkers& workers = workers_.front();
  const auto worker = std::find_if(workers.begin(), workers.end(),
                                   [](const auto& candidate) { return candidate->breaker().would_allow(); });
  if (worker == workers.end()) return;
  Tensor zeros = Tensor::empty(DType::u8, {static_cast<std::int64_t>(bytes)});
  std::memset(zeros.data(), 0, bytes);
  Message request;
  request.request.operation = Operation::probe;
  request.values = {std::int64_t{0}, std::move(zeros)};
  count([](SessionStats& stats) { ++stats.probes; });
  Steering::Sent sent;
  sent.at = Clock::now();
  sent.bytes = static_cast<double>(bytes);
  const std::uint64_t number = steering_->went_out(sent);
  (*worker)->connection()->call(std::move(request), sent.at + probe_patience, {},
                                [self = shared_from_this(), number, sent](CallResult result) {
                                  const auto received = Clock::now();
                                  const auto* const reply = std::get_if<Message>(&result);
                                  if (reply == nullptr || reply->kind != MessageKind::reply) {
                                    self->steering_->lost(number);
                                    return;
                                  }
                                  const HopTimes all = times_of(*reply, 0, seconds_between(sent.at, received));
                                  HopTimes wire;  // What the worker did was none of its stages.
                                  wire.transport_s = all.transport_s;
                                  wire.reply_bytes = all.reply_bytes;
                                  self->steering_->answered(number, received, wire);
                                });
}

// ---- What comes back.

void Session::Impl::receive(const InferencePtr& inference, const Attempt& attempt, CallResult result) {
  const auto received = Clock::now();
  std::optional<Error> error;
  HopTimes times;
  const Message* reply = nullptr;
  try {
    reply = &reply_in(result);
  } catch (const Error& thrown) {
    error = thrown;
  }
  if (reply != nullptr) {
    const std::size_t forwarded = inference->placement->hops.front().next.size();
    times = times_of(*reply, forwarded, seconds_between(attempt.at, received));
    inference->trace.hop(attempt.worker->endpoint(), attempt.at, received, *reply);
    attempt.worker->note_reply();
    steering_->answered(attempt.number, received, times);
  } else {
    steering_->lost(attempt.number);
  }
  std::unique_lock lock(inference->mutex);
  if (inference->finished || inference->is_complete || attempt.number != inference->attempt) {
    const bool is_beaten = inference->is_complete;
    const bool is_news = !inference->is_silence_noted;
    lock.unlock();
    return receive_late(*attempt.worker, error, is_beaten, is_news);
  }
  inference->is_asked = false;
  Progress& progress = inference->progress;
  const Placement& placement = *inference->placement;
  if (!error) {
    HopTimes& hop = progress.times.hops.back();
    times.encode_s = hop.encode_s;
    times.request_bytes = hop.request_bytes;
    hop = times;
    try {
      progress.take(placement.hops[progress.hop].info, std::move(std::get<Message>(result).values));
    } catch (const Error& thrown) {
      error = thrown;
    }
  }
  if (error) {
    const bool has_no_tables = error->code() == ErrorCode::incompatible && placement.tables &&
                               inference->prepared_again++ < most_prepared_again;
    lock.unlock();
    note_failure(*attempt.worker, *error);
    if (has_no_tables) return prepare_again(inference, attempt);
    return recover(inference, at_worker(attempt.worker->endpoint(), *error));
  }
  if (!progress.begins_again(placement)) ++progress.hop;
  auto complete = advance(*inference);
  lock.unlock();
  go_on(inference, std::move(complete));
}

/// `is_beaten`: the device was first, and so it is the worker who is late; `is_news`: that was not noted yet.
void Session::Impl::receive_late(RemoteWorker& worker, const std::optional<Error>& error, bool is_beaten,
                                 bool is_news) {
  if (!error) {
    if (is_beaten) count([](SessionStats& stats) { ++stats.late_replies; });
    return;
  }
  if (error->code() != ErrorCode::cancelled && error->code() != ErrorCode::deadline_exceeded) {
    return note_failure(worker, *error);
  }
  count([](SessionStats& stats) { ++stats.failed_requests; });
  is_beaten&& is_news ? worker.note_silence() : worker.breaker().gave_up();
}

void Session::Impl::note_failure(RemoteWorker& worker, const Error& error) {
  count([](SessionStats& stats) { ++stats.failed_requests; });
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::overloaded:
    case ErrorCode::unauthenticated:
    case ErrorCode::corrupt: return worker.note_failure(error, jittered(as_duration(hint_s(error))));
    case ErrorCode::deadline_exceeded: return worker.note_silence();
    case ErrorCode::cancelled: return worker.breaker().gave_up();
    default: return worker.note_reply();  // It is the request that is wrong.
  }
}

/// After a request that failed: another worker, the device, or the same one later; the error when there is no way.
void Session::Impl::recover(const InferencePtr& inference, const Error& error) {
  const RemoteWorkers* workers = nullptr;
  bool is_over = false;
  bool may_retry = false;
  {
    const std::lock_guard lock(inference->mutex);
    const bool is_too_late = inference->deadline && *inference->deadline <= Clock::now();
    is_over = error.code() == ErrorCode::cancelled || (error.code() == ErrorCode::deadline_exceeded && is_too_late);
    if (!is_over && inference->is_finished_here) return;  // The device gives the answer.
    workers = &workers_of(*inference);
    const bool may_pass = error.code() == ErrorCode::unavailable || error.code() == ErrorCode::overloaded;
    const bool waits_for_worker = inference->deadline && !options_.finish_on_device && may_pass;
    may_retry = !detail::is_final(error.code()) && (inference->retries < options_.max_retries || waits_for_worker);
  }
  if (is_over) return finish(inference, error);
  const bool other_may =
      std::any_of(workers->begin(), workers->end(), [](const auto& worker) { return worker->breaker().would_allow(); });
  if (may_retry && (other_may || !options_.finish_on_device) && retries_.take()) {
    count([](SessionStats& stats) { ++stats.retries; });
    {
      const std::lock_guard lock(inference->mutex);
      ++inference->retries;
    }
    if (other_may) return ask(inference, true);
    return ask_later(inference,
                     Clock::now() + jittered(std::max<Clock::duration>(as_duration(hint_s(error)), retry_pause)));
  }
  if (options_.finish_on_device) return finish_here(inference);
  finish(inference, error);
}

}  // namespace splitnet
