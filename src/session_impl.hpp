// SPDX-License-Identifier: Apache-2.0
// What a session is made of. session.cpp opens and closes it and begins and ends inferences, session_device.cpp runs
// their heads and what workers leave to the device, session_workers.cpp asks workers. Private.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "agenda.hpp"
#include "device_turns.hpp"
#include "inference.hpp"
#include "placer.hpp"
#include "retry_budget.hpp"
#include "route.hpp"
#include "splitnet/error.hpp"
#include "splitnet/session.hpp"
#include "steering.hpp"

namespace splitnet {

/// Completions hold a share of it, so it outlives every one of them.
class Session::Impl : public std::enable_shared_from_this<Session::Impl> {
 public:
  Impl(std::shared_ptr<const Model> model, SessionOptions options);

  void open();
  Answer run(std::vector<Value> inputs, const RunOptions& options);
  void submit(std::vector<Value> inputs, Done done, const RunOptions& options);
  std::optional<std::future<Answer>> try_submit(std::vector<Value>& inputs, const RunOptions& options);
  void close() noexcept;
  const Plan* plan() const noexcept { return placer_->chosen_plan(); }
  std::string explain(std::size_t rows) const { return plan() ? plan()->explain(placer_->problem(), rows) : ""; }
  std::vector<DecisionRecord> decisions() const { return steering_->decisions(); }
  SessionStats stats() const;

 private:
  using Clock = std::chrono::steady_clock;
  using AnswerOrError = std::variant<Answer, Error>;
  using Agenda = detail::Agenda;
  using DeviceTurns = detail::DeviceTurns;
  using Inference = detail::Inference;
  using InferencePtr = detail::InferencePtr;
  using Placement = detail::Placement;
  using Progress = detail::Progress;
  using RemoteWorker = detail::RemoteWorker;
  using RemoteWorkers = detail::RemoteWorkers;
  using WorkerPtr = std::shared_ptr<RemoteWorker>;

  /// A request to a worker.
  struct Attempt {
    std::uint64_t number = 0;  ///< Of the steering.
    WorkerPtr worker;
    Clock::time_point at;
  };

  void connect(const detail::Route& route);

  // The beginning of an inference.
  InferencePtr new_inference(const RunOptions& options, Done done) const;
  void wait_for_place(Inference& inference, const std::function<void()>& while_waiting);
  bool take_place();  // Under the lock.
  void start(const InferencePtr& inference, std::vector<Value> inputs);
  void call_while_waiting(const InferencePtr& inference, const std::function<void()>& call,
                          const std::future<Answer>& answer);
  void end_when_stopped(const InferencePtr& inference);
  void enqueue(const InferencePtr& inference);

  // On the device.
  void run_head(const InferencePtr& inference);
  void decide(Inference& inference);
  std::optional<std::vector<Value>> head_outputs(Inference& inference);
  void decode_pictures(Inference& inference, const std::string& codec) const;
  void plan_hedge(const InferencePtr& inference);
  Clock::time_point last_moment(const InferencePtr& inference);  // Under both locks.
  void cancel_hedge(Inference& inference);
  void finish_here(const InferencePtr& inference);
  void run_rest(const InferencePtr& inference, Progress& progress, bool is_beside_worker);
  void give_up_here(const InferencePtr& inference, const Error& error);

  // On workers.
  std::optional<Answer> advance(Inference& inference);
  void go_on(const InferencePtr& inference, std::optional<Answer> complete);
  void ask(const InferencePtr& inference, bool is_retry);
  void ask_later(const InferencePtr& inference, Clock::time_point at);
  void ask_worker(const InferencePtr& inference, const WorkerPtr& worker);
  void prepare_again(const InferencePtr& inference, const Attempt& attempt);
  void receive_preparation(const InferencePtr& inference, const Attempt& attempt, CallResult result);
  void receive(const InferencePtr& inference, const Attempt& attempt, CallResult result);
  void receive_late(RemoteWorker& worker, const std::optional<Error>& error, bool is_beaten, bool is_news);
  void note_failure(RemoteWorker& worker, const Error& error);
  void recover(const InferencePtr& inference, const Error& error);
  void probe(std::size_t bytes);
  [[nodiscard]] bool a_worker_may_be_asked() const;
  const RemoteWorkers& workers_of(const Inference& inference) const { return workers_[inference.progress.hop]; }

  // The end.
  void finish(const InferencePtr& inference, AnswerOrError outcome);
  static Error closed_error() { return Error(ErrorCode::cancelled, "the session is closed"); }

  /// Runs a step of an inference; what it throws goes to `failed`.
  template <class Step, class Failed>
  static void guarded(Step&& step, Failed&& failed) {
    try {
      step();
    } catch (const Error& error) {
      failed(error);
    } catch (const std::exception& error) {
      failed(Error(ErrorCode::internal, error.what()));
    } catch (...) {
      failed(Error(ErrorCode::internal, "something was thrown that is no exception"));
    }
  }
  /// What it throws ends the inference.
  template <class Step>
  void guarded(const InferencePtr& inference, Step&& step) {
    guarded(std::forward<Step>(step), [&](const Error& error) { finish(inference, error); });
  }
  template <class Change>
  void count(Change&& change) {
    const std::lock_guard lock(mutex_);
    change(stats_);
  }

  const std::shared_ptr<const Model> model_;
  const SessionOptions options_;
  std::shared_ptr<detail::SessionTrace> trace_;  // With a recorder.
  std::vector<RemoteWorkers> workers_;           // Of each hop.
  detail::PassTimes pass_times_;
  std::unique_ptr<detail::Placer> placer_;
  std::unique_ptr<detail::Steering> steering_;
  DeviceTurns device_;
  detail::RetryBudget retries_;

  mutable std::mutex mutex_;  // Guards everything below. Taken after that of an inference.
  std::condition_variable_any place_or_close_;
  std::condition_variable all_told_;
  bool closed_ = false;
  std::size_t places_taken_ = 0;
  std::map<InferencePtr, double> unfinished_;  // With what the device would take for its rest, once that is known.
  std::size_t telling_ = 0;                    // Calls of `done` under way.
  SessionStats stats_;

  std::mutex closing_;  // Held by the one who closes.
  std::unique_ptr<Agenda> agenda_;
};

}  // namespace splitnet
