// SPDX-License-Identifier: Apache-2.0
#include "splitnet/session.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include "session_impl.hpp"

namespace splitnet {

namespace {

/// Between calls of RunOptions::while_waiting.
constexpr auto kCallPause = std::chrono::milliseconds(50);

/// Keeps the promise of a future.
std::pair<std::future<Answer>, Session::Done> promised() {
  auto promise = std::make_shared<std::promise<Answer>>();
  auto future = promise->get_future();
  return {std::move(future), [promise](std::variant<Answer, Error> outcome) {
            if (auto* answer = std::get_if<Answer>(&outcome)) {
              promise->set_value(std::move(*answer));
            } else {
              promise->set_exception(std::make_exception_ptr(std::get<Error>(outcome)));
            }
          }};
}

}  // namespace

// ---- Opening.

Session::Impl::Impl(std::shared_ptr<const Model> model, SessionOptions options)
    : model_(std::move(model)), options_(std::move(options)) {
  if (options_.trace_recorder) trace_ = std::make_shared<detail::SessionTrace>(options_.trace_recorder);
}

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
  steering_ = std::make_unique<detail::Steering>(*placer_, options_.kept_decisions);
  if (options_.policy || !placer_->first()->hops.empty()) return;
  for (const RemoteWorkers& unused : workers_) {
    for (const auto& worker : unused) worker->close();
  }
}

void Session::Impl::connect(const detail::Route& route) {
  std::map<std::string, WorkerPtr> known;
  const auto worker_at = [&](const std::string& endpoint) {
    auto& worker = known[endpoint];
    if (!worker) {
      worker = std::make_shared<RemoteWorker>(endpoint, options_.registry.connect(endpoint, options_.connect),
                                              options_.connect.reconnect);
    }
    return worker;
  };
  for (const std::string& endpoint : route.workers) {
    workers_.push_back({worker_at(endpoint)});
    if (options_.forward) break;  // It reaches the others.
  }
  for (const std::string& endpoint : options_.spare_workers) workers_.front().push_back(worker_at(endpoint));
}

// ---- The beginning of an inference.

detail::InferencePtr Session::Impl::new_inference(const RunOptions& options, Done done) const {
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

void Session::Impl::wait_for_place(Inference& inference, const std::function<void()>& while_waiting) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return closed_ || places_taken_ < options_.max_in_flight; };
  while (while_waiting && !ready()) {
    inference.throw_if_expired();
    const auto pause_end = std::min(Clock::now() + kCallPause, inference.deadline.value_or(Clock::time_point::max()));
    if (place_or_close_.wait_until(lock, inference.stop, pause_end, ready)) break;
    lock.unlock();
    while_waiting();
    lock.lock();
  }
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
  wait_for_place(*inference, options.while_waiting);
  start(inference, std::move(inputs));
  guarded(inference, [&] { run_head(inference); });
  if (options.while_waiting) call_while_waiting(inference, options.while_waiting, future);
  return future.get();
}

void Session::Impl::call_while_waiting(const InferencePtr& inference, const std::function<void()>& call,
                                       const std::future<Answer>& answer) {
  while (answer.wait_for(kCallPause) != std::future_status::ready) {
    try {
      call();
    } catch (...) {
      finish(inference, Error(ErrorCode::cancelled, "the caller has given up"));
      throw;
    }
  }
}

void Session::Impl::submit(std::vector<Value> inputs, Done done, const RunOptions& options) {
  const InferencePtr inference = new_inference(options, std::move(done));
  try {
    wait_for_place(*inference, options.while_waiting);
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
    unfinished_.emplace(inference, 0);
    closed = closed_;
  }
  end_when_stopped(inference);
  if (closed) finish(inference, closed_error());
}

/// Also when nobody is asked and nothing computes at that moment. Whoever stops it does not wait.
void Session::Impl::end_when_stopped(const InferencePtr& inference) {
  if (!inference->stop.stop_possible()) return;
  inference->when_stopped.emplace(inference->stop,
                                  [self = weak_from_this(), stopped = std::weak_ptr<Inference>(inference)] {
                                    const auto session = self.lock();
                                    const InferencePtr there = stopped.lock();
                                    if (!session || !there) return;
                                    there->end_requests.request_stop();
                                    session->agenda_->add(Agenda::Order::first, [session = session.get(), stopped] {
                                      const InferencePtr left = stopped.lock();
                                      if (left) session->guarded(left, [&] { left->throw_if_expired(); });
                                    });
                                  });
}

void Session::Impl::enqueue(const InferencePtr& inference) {
  agenda_->add(Agenda::Order::last, [this, inference] { guarded(inference, [&] { run_head(inference); }); });
}

// ---- The end.

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
  std::vector<InferencePtr> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const auto& [inference, rest_s] : unfinished_) left.push_back(inference);
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
