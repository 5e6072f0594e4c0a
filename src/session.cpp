// SPDX-License-Identifier: Apache-2.0
#include "splitnet/session.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>
#include <variant>

#include "agenda.hpp"
#include "device_turns.hpp"
#include "inference.hpp"
#include "picture_inputs.hpp"
#include "placer.hpp"
#include "retry_budget.hpp"
#include "route.hpp"
#include "splitnet/error.hpp"

namespace splitnet {

namespace {

using Clock = std::chrono::steady_clock;
using detail::Agenda;
using detail::at_worker;
using detail::DeviceTurns;
using detail::Hop;
using detail::Inference;
using detail::InferencePtr;
using detail::Placement;
using detail::Progress;
using detail::RemoteWorker;
using detail::RemoteWorkers;
using AnswerOrError = std::variant<Answer, Error>;

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

Clock::duration as_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

/// What would go wrong anywhere, or is over: nobody else is asked.
bool is_final(ErrorCode code) {
  return code == ErrorCode::invalid_argument || code == ErrorCode::unsupported_model || code == ErrorCode::cancelled ||
         code == ErrorCode::deadline_exceeded;
}

/// Throws what is there instead.
Message& reply_in(CallResult& result) {
  if (const auto* error = std::get_if<Error>(&result)) throw *error;
  auto& reply = std::get<Message>(result);
  reply.throw_if_error();
  return reply;
}

bool says_incompatible(const CallResult& result) {
  const auto* const message = std::get_if<Message>(&result);
  return message != nullptr && message->kind == MessageKind::error && message->error == ErrorCode::incompatible;
}

/// The worker's word on its times, as far as it can be true.
double reported_s(const Message& reply, const char* step, double at_most_s) {
  const auto found = reply.times_s.find(step);
  if (found == reply.times_s.end() || !(found->second >= 0)) return 0;
  return found->second < at_most_s ? found->second : at_most_s;
}

void note_times(HopTimes& hop, const Message& reply, double round_trip_s) {
  double left_s = round_trip_s;  // No step can have taken more.
  const auto take_s = [&](const char* step) {
    const double step_s = reported_s(reply, step, left_s);
    left_s -= step_s;
    return step_s;
  };
  hop.run_s = take_s("run");
  hop.decode_s = take_s("decode");
  hop.queue_s = take_s("queue") + take_s("slice");
  hop.transport_s = left_s;
  for (const Value& value : reply.values) {
    for_each_tensor(value,
                    [&](const Tensor& tensor) { hop.reply_bytes += static_cast<std::int64_t>(tensor.packed_bytes()); });
  }
}

/// Keeps the promise of a future.
std::pair<std::future<Answer>, Session::Done> promised() {
  auto promise = std::make_shared<std::promise<Answer>>();
  auto future = promise->get_future();
  return {std::move(future), [promise](AnswerOrError outcome) {
            if (auto* answer = std::get_if<Answer>(&outcome)) {
              promise->set_value(std::move(*answer));
            } else {
              promise->set_exception(std::make_exception_ptr(std::get<Error>(outcome)));
            }
          }};
}

/// Another session's tables may push this one's out again before its request is there.
constexpr int most_prepared_again = 4;
/// How long an answer is waited for that the caller needs no more; it still tells of worker and link.
constexpr auto late_reply_patience = std::chrono::seconds(10);
/// For waking threads, in front of a deadline: at least so long, and this share of the time that is left.
constexpr auto least_hedge_slack = std::chrono::milliseconds(5);
constexpr int hedge_slack_share = 20;
/// Before a retry without a hint.
constexpr auto retry_pause = std::chrono::milliseconds(10);

/// A request under way.
struct Asked {
  Clock::time_point at;
  double bytes = 0;
  double bytes_ahead = 0;  // Of those that were under way before it.
  double told_s = 0;       // How long it was under way when the policy was told last.
  SequentialPlanner::Choice choice;
};

}  // namespace

/// Completions hold a share of it, so it outlives every one of them.
class Session::Impl : public std::enable_shared_from_this<Session::Impl> {
 public:
  Impl(std::shared_ptr<const Model> model, SessionOptions options)
      : model_(std::move(model)), options_(std::move(options)) {
    if (options_.trace_recorder) trace_ = std::make_shared<detail::SessionTrace>(options_.trace_recorder);
  }

  void open();
  Answer run(std::vector<Value> inputs, const RunOptions& options);
  void submit(std::vector<Value> inputs, Done done, const RunOptions& options);
  std::optional<std::future<Answer>> try_submit(std::vector<Value>& inputs, const RunOptions& options);
  void close() noexcept;
  const Plan* plan() const noexcept { return placer_->chosen_plan(); }
  std::string explain(std::size_t rows) const { return plan() ? plan()->explain(placer_->problem(), rows) : ""; }
  std::vector<DecisionRecord> decisions() const;
  SessionStats stats() const;

 private:
  void connect(const detail::Route& route);

  // The beginning of an inference.
  InferencePtr new_inference(const RunOptions& options, Done done) const;
  void wait_for_place(Inference& inference);
  bool take_place();  // Under the lock.
  void start(const InferencePtr& inference, std::vector<Value> inputs);
  void enqueue(const InferencePtr& inference);
  void run_head(const InferencePtr& inference);
  void decide(Inference& inference);
  [[nodiscard]] bool a_worker_may_be_asked() const;
  void tell_what_is_under_way(double now_s);
  void probe(std::size_t bytes);
  void decode_pictures(Inference& inference, const std::string& codec) const;

  // The rest, on workers.
  std::optional<Answer> advance(Inference& inference);
  void go_on(const InferencePtr& inference, std::optional<Answer> complete);
  void ask(const InferencePtr& inference, bool is_retry);
  void ask_later(const InferencePtr& inference, Clock::time_point at);
  void ask_worker(const InferencePtr& inference, const std::shared_ptr<RemoteWorker>& worker);
  void prepare_again(const InferencePtr& inference, std::uint64_t attempt, const std::shared_ptr<RemoteWorker>& worker);
  void receive(const InferencePtr& inference, std::uint64_t attempt, const std::shared_ptr<RemoteWorker>& worker,
               CallResult result);
  void learn(const Asked& asked, const HopTimes& times, double head_s);
  void note_failure(RemoteWorker& worker, const Error& error, bool is_late);
  void recover(const InferencePtr& inference, const Error& error);
  const RemoteWorkers& workers_of(const Inference& inference) const { return workers_[inference.progress.hop]; }

  // The rest, on the device.
  void plan_hedge(const InferencePtr& inference);
  void cancel_hedge(Inference& inference);
  void finish_here(const InferencePtr& inference);
  void run_rest(const InferencePtr& inference, Progress& progress);
  void give_up_here(const InferencePtr& inference, const Error& error);

  // The end.
  void finish(const InferencePtr& inference, AnswerOrError outcome);
  template <class Step>
  void guarded(const InferencePtr& inference, Step&& step);
  static Error closed_error() { return Error(ErrorCode::cancelled, "the session is closed"); }
  double now_s() const { return seconds_between(opened_, Clock::now()); }

  const std::shared_ptr<const Model> model_;
  const SessionOptions options_;
  std::shared_ptr<detail::SessionTrace> trace_;  // With a recorder.
  const Clock::time_point opened_ = Clock::now();
  std::vector<RemoteWorkers> workers_;  // Of each hop.
  detail::PassTimes pass_times_;
  std::unique_ptr<detail::Placer> placer_;
  DeviceTurns device_;
  detail::RetryBudget retries_;

  mutable std::mutex mutex_;  // Guards everything below. Taken after that of an inference.
  std::condition_variable_any place_or_close_;
  std::condition_variable all_told_;
  bool closed_ = false;
  std::size_t places_taken_ = 0;
  std::set<InferencePtr> unfinished_;
  std::size_t telling_ = 0;                  // Calls of `done` under way.
  std::shared_ptr<const Placement> latest_;  // That an inference ran with …
  SequentialPlanner::Choice latest_choice_;  // … and what it is.
  std::map<std::uint64_t, Asked> asked_;     // By attempt.
  std::uint64_t attempts_ = 0;
  std::deque<DecisionRecord> decisions_;
  std::uint64_t decided_ = 0;
  SessionStats stats_;

  std::mutex closing_;  // Held by the one who closes.
  std::unique_ptr<Agenda> agenda_;
};

// ---- Opening.

void Session::Impl::open() {
  if (!model_) throw Error(ErrorCode::invalid_argument, "Session::open: no model");
  const detail::Route route = detail::route_of(options_);
  connect(route);
  placer_ = std::make_unique<detail::Placer>(model_, options_, workers_, pass_times_);
  try {
    if (options_.objective) {
      placer_->plan();
    } else {
      placer_->place_cuts(route.cuts);
    }
    agenda_ = std::make_unique<Agenda>();
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::internal, std::string("no thread for the session: ") + error.what());
  }
  latest_ = placer_->first();
  latest_choice_ = placer_->first_choice();
  if (options_.policy || !latest_->hops.empty()) return;
  for (const RemoteWorkers& unused : workers_) {
    for (const auto& worker : unused) worker->close();
  }
}

void Session::Impl::connect(const detail::Route& route) {
  std::map<std::string, std::shared_ptr<RemoteWorker>> known;
  const auto worker_at = [&](const std::string& endpoint) {
    auto& worker = known[endpoint];
    if (!worker) {
      worker = std::make_shared<RemoteWorker>(endpoint, options_.registry.connect(endpoint, options_.connect),
                                              options_.connect.reconnect);
    }
    return worker;
  };
  for (const std::string& endpoint : route.workers) workers_.push_back({worker_at(endpoint)});
  for (const std::string& endpoint : options_.spare_workers) workers_.front().push_back(worker_at(endpoint));
}

// ---- The beginning of an inference.

InferencePtr Session::Impl::new_inference(const RunOptions& options, Done done) const {
  auto inference = std::make_shared<Inference>();
  inference->done = std::move(done);
  const auto time_left = options.deadline ? options.deadline : options_.deadline;
  if (time_left) inference->deadline = inference->begun + *time_left;
  inference->stop = options.stop;
  inference->trace = detail::InferenceTrace(trace_, options.trace);
  inference->progress.sent.trace = inference->trace.context();
  inference->progress.slots.resize(model_->result_slot_count());
  return inference;
}

bool Session::Impl::take_place() {
  if (closed_ || places_taken_ >= options_.max_in_flight) return false;
  ++places_taken_;
  return true;
}

void Session::Impl::wait_for_place(Inference& inference) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return closed_ || places_taken_ < options_.max_in_flight; };
  if (inference.deadline) {
    place_or_close_.wait_until(lock, inference.stop, *inference.deadline, ready);
  } else {
    place_or_close_.wait(lock, inference.stop, ready);
  }
  if (closed_) throw closed_error();
  if (!take_place()) {
    inference.throw_if_expired();
    throw Error(ErrorCode::deadline_exceeded, "the deadline passed before the inference could start");
  }
}

Answer Session::Impl::run(std::vector<Value> inputs, const RunOptions& options) {
  auto [future, done] = promised();
  const InferencePtr inference = new_inference(options, std::move(done));
  wait_for_place(*inference);
  start(inference, std::move(inputs));
  guarded(inference, [&] { run_head(inference); });
  return future.get();
}

void Session::Impl::submit(std::vector<Value> inputs, Done done, const RunOptions& options) {
  const InferencePtr inference = new_inference(options, std::move(done));
  try {
    wait_for_place(*inference);
  } catch (const Error& error) {
    inference->done(error);
    return;
  }
  start(inference, std::move(inputs));
  enqueue(inference);
}

std::optional<std::future<Answer>> Session::Impl::try_submit(std::vector<Value>& inputs, const RunOptions& options) {
  auto [future, done] = promised();
  const InferencePtr inference = new_inference(options, std::move(done));
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    closed = closed_;
    if (!closed && !take_place()) return std::nullopt;
  }
  if (closed) {
    inference->done(closed_error());
  } else {
    start(inference, std::move(inputs));
    enqueue(inference);
  }
  return std::move(future);
}

/// From here on `close` ends it, and its stop token.
void Session::Impl::start(const InferencePtr& inference, std::vector<Value> inputs) {
  inference->inputs = std::move(inputs);
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    unfinished_.insert(inference);
    closed = closed_;
  }
  inference->when_stopped.emplace(inference->stop,
                                  [source = inference->end_requests]() mutable { source.request_stop(); });
  if (closed) finish(inference, closed_error());
}

void Session::Impl::enqueue(const InferencePtr& inference) {
  agenda_->add(Agenda::Order::last, [this, inference] { guarded(inference, [&] { run_head(inference); }); });
}

// ---- The head.

void Session::Impl::run_head(const InferencePtr& inference) {
  if (inference->finished) return;
  {
    const DeviceTurns::Turn turn(device_, DeviceTurns::For::head);
    StepTimes& times = inference->progress.times;
    const auto turn_came = Clock::now();
    times.wait_s = seconds_between(inference->begun, turn_came);
    inference->trace.step("wait", inference->begun, turn_came);
    inference->throw_if_expired();
    decide(*inference);
    const Placement& placement = *inference->placement;
    const StageInfo& info = placement.head->info();
    if (inference->inputs.size() != info.inputs.size()) {
      throw Error(ErrorCode::invalid_argument, "the model takes " + std::to_string(info.inputs.size()) + " inputs, " +
                                                   std::to_string(inference->inputs.size()) + " were given");
    }
    std::string pictures = detail::frame_pictures(*model_, info, inference->inputs);
    if (!pictures.empty() && placement.passed_inputs) {
      // Files go to the worker as they are.
      for (const std::size_t input : *placement.passed_inputs) {
        inference->progress.boundary.push_back(std::move(inference->inputs[input]));
      }
      inference->progress.framed_for = std::move(pictures);
    } else {
      if (!pictures.empty()) decode_pictures(*inference, pictures);
      const auto begun = Clock::now();
      auto outputs = placement.head->run(std::move(inference->inputs));
      const auto end = Clock::now();
      times.head_s = seconds_between(begun, end);
      inference->trace.step("head", begun, end);
      pass_times_.note(placement.head_s, times.head_s);
      inference->progress.take(info, std::move(outputs));
    }
  }
  inference->throw_if_expired();
  std::optional<Answer> complete;
  {
    const std::lock_guard lock(inference->mutex);
    complete = advance(*inference);
  }
  go_on(inference, std::move(complete));
}

void Session::Impl::decide(Inference& inference) {
  const auto& policy = placer_->policy();
  if (!policy) {
    inference.placement = placer_->first();
    return;
  }
  Situation situation;
  situation.now_s = now_s();
  if (inference.deadline) situation.time_left_s = seconds_between(Clock::now(), *inference.deadline);
  situation.worker_answers = a_worker_may_be_asked();
  tell_what_is_under_way(situation.now_s);
  {
    const std::lock_guard lock(mutex_);
    situation.in_flight = places_taken_ - 1;
    for (const auto& [attempt, asked] : asked_) situation.bytes_under_way += asked.bytes;
  }
  Decision& decision = inference.decision;
  decision = policy->decide(situation);
  auto placement = placer_->find(decision.choice);
  {
    const std::lock_guard lock(mutex_);
    if (!placement) {
      decision.reason = Reason::not_ready;
      decision.choice = situation.worker_answers ? latest_choice_ : placer_->device_only_choice();
      placement = situation.worker_answers ? latest_ : placer_->device_only();
    }
    latest_ = placement;
    latest_choice_ = decision.choice;
    decisions_.push_back(
        {++decided_, situation.now_s, decision, placer_->problem().codecs.at(decision.choice.codec).name});
    if (decisions_.size() > options_.kept_decisions) decisions_.pop_front();
  }
  inference.placement = std::move(placement);
  if (decision.probe_bytes > 0) probe(decision.probe_bytes);
}

bool Session::Impl::a_worker_may_be_asked() const {
  const auto may = [](const auto& worker) { return worker->breaker().would_allow(); };
  return std::any_of(workers_.front().begin(), workers_.front().end(), may);
}

/// That an answer has not come after so long says something too: once, and again after twice the time.
void Session::Impl::tell_what_is_under_way(double now_s) {
  std::vector<Outcome> news;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [attempt, asked] : asked_) {
      const double so_far_s = seconds_between(asked.at, Clock::now());
      if (so_far_s < 2 * asked.told_s) continue;
      asked.told_s = so_far_s;
      Outcome outcome;
      outcome.ended_s = now_s;
      outcome.head_layers = asked.choice.head_layers;
      outcome.codec = asked.choice.codec;
      outcome.bytes_up = asked.bytes + asked.bytes_ahead;
      outcome.transport_s = so_far_s;
      outcome.is_under_way = true;
      news.push_back(outcome);
    }
  }
  for (const Outcome& outcome : news) placer_->policy()->learn(outcome);
}

/// Beside the inference; its answer is for the policy.
void Session::Impl::probe(std::size_t bytes) {
  Tensor zeros = Tensor::empty(DType::u8, {static_cast<std::int64_t>(bytes)});
  std::memset(zeros.data(), 0, bytes);
  Message request;
  request.request.operation = Operation::probe;
  request.values = {std::int64_t{0}, std::move(zeros)};
  {
    const std::lock_guard lock(mutex_);
    ++stats_.probes;
  }
  const auto asked_at = Clock::now();
  workers_.front().front()->connection()->call(std::move(request), asked_at + late_reply_patience, {},
                                               [self = shared_from_this(), asked_at, bytes](CallResult result) {
                                                 const auto* const reply = std::get_if<Message>(&result);
                                                 Outcome outcome;
                                                 outcome.ended_s = self->now_s();
                                                 outcome.transport_s = seconds_between(asked_at, Clock::now());
                                                 outcome.bytes_up = static_cast<double>(bytes);
                                                 outcome.is_under_way =
                                                     reply == nullptr || reply->kind != MessageKind::reply;
                                                 self->placer_->policy()->learn(outcome);
                                               });
}

/// The head needs the tensors.
void Session::Impl::decode_pictures(Inference& inference, const std::string& codec) const {
  const auto start = Clock::now();
  inference.inputs = decode_values(*options_.codec_registry.make(codec), std::move(inference.inputs));
  const auto end = Clock::now();
  inference.progress.times.input_decode_s = seconds_between(start, end);
  inference.trace.step("input decode", start, end);
}

// ---- The rest, on workers.

/// Under the inference's lock: from one boundary to the next request, or to the answer. What the device may finish is
/// never between the two.
std::optional<Answer> Session::Impl::advance(Inference& inference) {
  Progress& progress = inference.progress;
  const Placement& placement = *inference.placement;
  if (!progress.go_to_next_hop(placement)) {
    inference.is_complete = true;
    return inference.answer(*model_, std::move(progress));
  }
  StageRequest& request = progress.sent.request;
  request.model = options_.model_name;
  request.fingerprint = model_->fingerprint();
  request.stage = placement.hops[progress.hop].key;
  progress.encode_boundary(placement, inference.trace);
  return std::nullopt;
}

void Session::Impl::go_on(const InferencePtr& inference, std::optional<Answer> complete) {
  if (complete) {
    if (inference->placement->hops.empty()) {
      Asked nobody;
      nobody.choice = inference->decision.choice;
      learn(nobody, {}, complete->times.head_s);
    }
    return finish(inference, std::move(*complete));
  }
  plan_hedge(inference);
  ask(inference, false);
}

/// The first worker that may be asked; else the device, or later.
void Session::Impl::ask(const InferencePtr& inference, bool is_retry) {
  if (!is_retry) retries_.note_request();
  const RemoteWorkers* workers = nullptr;
  bool may_wait = false;
  {
    const std::lock_guard lock(inference->mutex);
    workers = &workers_of(*inference);
    may_wait = inference->deadline || inference->waits++ < options_.max_retries;
  }
  auto next_try = Clock::time_point::max();
  for (const auto& worker : *workers) {
    if (worker->breaker().allows()) return ask_worker(inference, worker);
    next_try = std::min(next_try, worker->breaker().next_try());
  }
  if (options_.finish_on_device) return finish_here(inference);
  next_try = std::max(next_try, Clock::now() + retry_pause);
  if (!may_wait || (inference->deadline && next_try >= *inference->deadline)) {
    throw Error(ErrorCode::unavailable,
                "worker " + workers->front()->endpoint() + " failed a moment ago, and is not asked again yet");
  }
  ask_later(inference, next_try);
}

void Session::Impl::ask_later(const InferencePtr& inference, Clock::time_point at) {
  agenda_->at(at, [this, inference] {
    guarded(inference, [&] {
      inference->throw_if_expired();
      if (!inference->finished) ask(inference, true);
    });
  });
}

void Session::Impl::ask_worker(const InferencePtr& inference, const std::shared_ptr<RemoteWorker>& worker) {
  Message request;
  std::uint64_t attempt = 0;
  {
    const std::scoped_lock lock(inference->mutex, mutex_);
    request = inference->progress.sent;
    inference->attempt = attempt = ++attempts_;
    inference->worker = worker;
    inference->asked_at = Clock::now();
    inference->is_asked = true;
    ++inference->requests;
    ++stats_.requests;
    Asked asked;
    asked.at = inference->asked_at;
    for (const auto& [earlier, before] : asked_) asked.bytes_ahead += before.bytes;
    asked.bytes = static_cast<double>(inference->progress.times.hops.back().request_bytes);
    asked.choice = inference->decision.choice;
    asked_.emplace(attempt, asked);
  }
  worker->connection()->call(std::move(request), inference->deadline, inference->end_requests.get_token(),
                             [self = shared_from_this(), inference, attempt, worker](CallResult result) {
                               self->guarded(inference,
                                             [&] { self->receive(inference, attempt, worker, std::move(result)); });
                             });
}

/// The worker has been started anew since, or has taken in tables of others and forgotten these.
void Session::Impl::prepare_again(const InferencePtr& inference, std::uint64_t attempt,
                                  const std::shared_ptr<RemoteWorker>& worker) {
  Message request;
  {
    const std::lock_guard lock(inference->mutex);
    const Progress& progress = inference->progress;
    request = placer_->preparation(*inference->placement, inference->placement->hops[progress.hop],
                                   progress.sent.request.codec);
  }
  worker->connection()->call(std::move(request), inference->deadline, inference->end_requests.get_token(),
                             [self = shared_from_this(), inference, attempt, worker](CallResult result) {
                               self->guarded(inference, [&] {
                                 {
                                   const std::lock_guard lock(inference->mutex);
                                   if (attempt != inference->attempt || inference->finished) return;
                                 }
                                 try {
                                   reply_in(result);
                                 } catch (const Error& error) {
                                   self->note_failure(*worker, error, false);
                                   return self->recover(inference, at_worker(worker->endpoint(), error));
                                 }
                                 self->ask_worker(inference, worker);
                               });
                             });
}

void Session::Impl::receive(const InferencePtr& inference, std::uint64_t attempt,
                            const std::shared_ptr<RemoteWorker>& worker, CallResult result) {
  const auto received = Clock::now();
  Asked asked;
  {
    const std::lock_guard lock(mutex_);
    asked = asked_.extract(attempt).mapped();
  }
  std::unique_lock lock(inference->mutex);
  Progress& progress = inference->progress;
  const Placement& placement = *inference->placement;
  const bool is_late = inference->finished || inference->is_complete || attempt != inference->attempt;
  if (!is_late) inference->is_asked = false;
  std::optional<Answer> complete;
  try {
    if (says_incompatible(result) && !is_late && placement.tables &&
        inference->prepared_again++ < most_prepared_again) {
      lock.unlock();
      return prepare_again(inference, attempt, worker);
    }
    Message& reply = reply_in(result);
    worker->note_reply();
    HopTimes times;
    if (!is_late) times = progress.times.hops.back();
    note_times(times, reply, seconds_between(asked.at, received));
    inference->trace.hop(worker->endpoint(), asked.at, received, reply);
    learn(asked, times, is_late ? 0 : progress.times.head_s);
    if (is_late) {
      const std::lock_guard counting(mutex_);
      ++stats_.late_replies;
      return;
    }
    progress.times.hops.back() = times;
    progress.take(placement.hops[progress.hop].info, std::move(reply.values));
    if (!progress.begins_again(placement)) ++progress.hop;
    complete = advance(*inference);
  } catch (const Error& error) {
    if (lock.owns_lock()) lock.unlock();
    note_failure(*worker, error, is_late);
    if (!is_late) recover(inference, at_worker(worker->endpoint(), error));
    return;
  }
  lock.unlock();
  go_on(inference, std::move(complete));
}

void Session::Impl::learn(const Asked& asked, const HopTimes& times, double head_s) {
  if (!placer_->policy()) return;
  Outcome outcome;
  outcome.ended_s = now_s();
  outcome.head_layers = asked.choice.head_layers;
  outcome.codec = asked.choice.codec;
  outcome.head_s = head_s;
  outcome.tail_s = times.run_s;
  outcome.queue_s = times.queue_s;
  outcome.transport_s = times.transport_s;
  outcome.bytes_up = asked.bytes + asked.bytes_ahead;
  outcome.bytes_down = static_cast<double>(times.reply_bytes);
  placer_->policy()->learn(outcome);
}

void Session::Impl::note_failure(RemoteWorker& worker, const Error& error, bool is_late) {
  {
    const std::lock_guard lock(mutex_);
    ++stats_.failed_requests;
  }
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::overloaded:
    case ErrorCode::unauthenticated:
    case ErrorCode::corrupt:
      return worker.breaker().failed(Clock::now(), as_duration(error.retry_after_s().value_or(0)));
    case ErrorCode::deadline_exceeded: return worker.note_silence();
    case ErrorCode::cancelled:  // By the caller; or by this session, which has waited long enough.
      return is_late ? worker.note_silence() : worker.breaker().gave_up();
    default: return worker.note_reply();  // It is the request that is wrong.
  }
}

/// After a request that failed: another worker, the device, or the same one later; the error when there is no way.
void Session::Impl::recover(const InferencePtr& inference, const Error& error) {
  const RemoteWorkers* workers = nullptr;
  bool may_retry = false;
  {
    const std::lock_guard lock(inference->mutex);
    const bool is_too_late = inference->deadline && *inference->deadline <= Clock::now();
    const bool is_early = error.code() == ErrorCode::deadline_exceeded && !is_too_late;
    if (inference->is_finished_here && (is_early || !is_final(error.code()))) return;  // The device gives the answer.
    workers = &workers_of(*inference);
    may_retry = inference->requests <= options_.max_retries || (inference->deadline && !options_.finish_on_device);
  }
  if (is_final(error.code())) return finish(inference, error);
  const bool other_may =
      std::any_of(workers->begin(), workers->end(), [](const auto& worker) { return worker->breaker().would_allow(); });
  if (may_retry && (other_may || !options_.finish_on_device) && retries_.take()) {
    {
      const std::lock_guard lock(mutex_);
      ++stats_.retries;
    }
    if (other_may) return ask(inference, true);
    return ask_later(inference, Clock::now() + std::max<Clock::duration>(as_duration(error.retry_after_s().value_or(0)),
                                                                         retry_pause));
  }
  if (options_.finish_on_device) return finish_here(inference);
  finish(inference, error);
}

// ---- The rest, on the device.

/// The last moment at which the device still meets the deadline, or earlier, when the policy wants it so.
void Session::Impl::plan_hedge(const InferencePtr& inference) {
  if (!options_.finish_on_device) return;
  auto at = Clock::time_point::max();
  {
    const std::scoped_lock lock(inference->mutex, mutex_);
    const Progress& progress = inference->progress;
    const Placement& placement = *inference->placement;
    if (inference->deadline) {
      const double rest_s = placement.hops[progress.hop].rest_s;
      // A head that has begun by then can't be interrupted; with a policy it may be that of any plan.
      const Placement& longest = placer_->policy() ? *placer_->device_only() : placement;
      const double busy_s = options_.max_in_flight > 1 ? longest.head_s : 0;
      const auto left = *inference->deadline - Clock::now();
      const auto slack = std::max<Clock::duration>(least_hedge_slack, left / hedge_slack_share);
      at = *inference->deadline - (rest_s > 0 ? as_duration((rest_s + busy_s) * pass_times_.p99()) + slack : left / 2);
    }
    if (inference->decision.hedge_after_s && progress.hop == 0 && !progress.refined) {
      at = std::min(at, Clock::now() + as_duration(*inference->decision.hedge_after_s));
    }
  }
  cancel_hedge(*inference);  // Of the hop before.
  if (at == Clock::time_point::max()) return;
  const auto alarm = agenda_->at(at, [this, gone = std::weak_ptr<Inference>(inference)] {
    if (const InferencePtr late = gone.lock()) finish_here(late);
  });
  const std::lock_guard lock(inference->mutex);
  inference->hedge = alarm;
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
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->finished || inference->is_complete || std::exchange(inference->is_finished_here, true)) return;
    *progress = inference->progress;
    if (inference->is_asked) progress->times.device_wait_s = seconds_between(inference->asked_at, Clock::now());
  }
  agenda_->add(Agenda::Order::first, [this, inference, progress] {
    try {
      run_rest(inference, *progress);
    } catch (const Error& error) {
      give_up_here(inference, error);
    } catch (const std::exception& error) {
      give_up_here(inference, Error(ErrorCode::internal, error.what()));
    }
  });
}

void Session::Impl::run_rest(const InferencePtr& inference, Progress& progress) {
  if (inference->finished) return;
  const Placement& placement = *inference->placement;
  double rest_s = 0;
  {
    const DeviceTurns::Turn turn(device_, DeviceTurns::For::rest);
    inference->throw_if_expired();
    const auto begun = Clock::now();
    progress.run_rest(placement, options_.codec_registry);
    const auto end = Clock::now();
    rest_s = seconds_between(begun, end);
    inference->trace.step("rest", begun, end);
    pass_times_.note(placement.hops[progress.hop].rest_s, rest_s);
    if (progress.begins_again(placement)) {
      progress.encode_boundary(placement, inference->trace);
      progress.run_rest(placement, options_.codec_registry);
      rest_s = seconds_between(begun, Clock::now());
    }
  }
  progress.times.rest_s = rest_s;
  {
    const std::lock_guard lock(mutex_);
    stats_.finishing_s += rest_s;
  }
  if (placer_->policy()) {
    Outcome outcome;
    outcome.ended_s = now_s();
    outcome.head_layers = inference->decision.choice.head_layers;
    outcome.codec = inference->decision.choice.codec;
    outcome.hedge_s = rest_s;
    placer_->policy()->learn(outcome);
  }
  inference->throw_if_expired();
  std::shared_ptr<RemoteWorker> silent;
  std::optional<Answer> answer;
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->finished || std::exchange(inference->is_complete, true)) return;
    if (inference->is_asked) silent = inference->worker;
    answer.emplace(inference->answer(*model_, std::move(progress)));
  }
  finish(inference, std::move(*answer));
  if (!silent) return;
  silent->note_silence();
  agenda_->at(Clock::now() + late_reply_patience,
              [source = inference->end_requests]() mutable { source.request_stop(); });
}

/// Nothing is lost as long as a worker may answer.
void Session::Impl::give_up_here(const InferencePtr& inference, const Error& error) {
  {
    const std::lock_guard lock(inference->mutex);
    if (inference->is_complete) return;
    if (inference->is_asked && !is_final(error.code())) {
      inference->is_finished_here = false;
      return;
    }
  }
  finish(inference, error);
}

// ---- The end.

/// Runs a step of an inference; what it throws ends the inference.
template <class Step>
void Session::Impl::guarded(const InferencePtr& inference, Step&& step) {
  try {
    step();
  } catch (const Error& error) {
    finish(inference, error);
  } catch (const std::exception& error) {
    finish(inference, Error(ErrorCode::internal, error.what()));
  }
}

/// The place is free before the caller knows, so that it can use it at once.
void Session::Impl::finish(const InferencePtr& inference, AnswerOrError outcome) {
  if (inference->finished.exchange(true)) return;
  cancel_hedge(*inference);
  const auto* const answer = std::get_if<Answer>(&outcome);
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    --places_taken_;
    closed = closed_;
    ++telling_;
    unfinished_.erase(inference);
    ++(answer != nullptr ? stats_.answered : stats_.failed);
    if (answer != nullptr && answer->times.rest_s > 0) ++stats_.finished_here;
    place_or_close_.notify_one();
  }
  if (answer == nullptr) {
    inference->end_requests.request_stop();
    // Connections that `close` has shut say `unavailable`, but it is the caller who wanted it.
    if (closed && std::get<Error>(outcome).code() == ErrorCode::unavailable) outcome = closed_error();
  }
  inference->trace.end(inference->begun, answer != nullptr ? "answered" : to_string(std::get<Error>(outcome).code()));
  inference->done(std::move(outcome));
  const std::lock_guard lock(mutex_);
  if (--telling_ == 0) all_told_.notify_all();
}

void Session::Impl::close() noexcept {
  const std::lock_guard one_at_a_time(closing_);
  std::set<InferencePtr> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    left = unfinished_;
    place_or_close_.notify_all();
  }
  for (const InferencePtr& inference : left) finish(inference, closed_error());
  if (agenda_) agenda_->close();
  for (const RemoteWorkers& workers : workers_) {
    for (const auto& worker : workers) worker->close();
  }
  if (placer_) placer_->close();
  std::unique_lock lock(mutex_);
  all_told_.wait(lock, [this] { return telling_ == 0; });
}

std::vector<DecisionRecord> Session::Impl::decisions() const {
  const std::lock_guard lock(mutex_);
  return {decisions_.begin(), decisions_.end()};
}

SessionStats Session::Impl::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

// ---- The face.

std::unique_ptr<Session> Session::open(std::shared_ptr<const Model> model, SessionOptions options) {
  std::unique_ptr<Session> session(new Session(std::make_shared<Impl>(std::move(model), std::move(options))));
  session->impl_->open();
  return session;
}

Session::Session(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() {
  close();
}

Answer Session::run(std::vector<Value> inputs, const RunOptions& options) {
  return impl_->run(std::move(inputs), options);
}
std::future<Answer> Session::submit(std::vector<Value> inputs, const RunOptions& options) {
  auto [future, done] = promised();
  impl_->submit(std::move(inputs), std::move(done), options);
  return std::move(future);
}
void Session::submit(std::vector<Value> inputs, Done done, const RunOptions& options) {
  impl_->submit(std::move(inputs), std::move(done), options);
}
std::optional<std::future<Answer>> Session::try_submit(std::vector<Value>& inputs, const RunOptions& options) {
  return impl_->try_submit(inputs, options);
}
const Plan* Session::plan() const noexcept {
  return impl_->plan();
}
std::string Session::explain(std::size_t rows) const {
  return impl_->explain(rows);
}
std::vector<DecisionRecord> Session::decisions() const {
  return impl_->decisions();
}
SessionStats Session::stats() const {
  return impl_->stats();
}
void Session::close() {
  impl_->close();
}

}  // namespace splitnet
