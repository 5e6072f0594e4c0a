// SPDX-License-Identifier: Apache-2.0
// What is behind Worker. Private to the worker.
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "codec_cache.hpp"
#include "forwarder.hpp"
#include "model_table.hpp"
#include "request_log.hpp"
#include "splitnet/error.hpp"
#include "splitnet/worker.hpp"
#include "work_queue.hpp"
#include "worker_counters.hpp"
#include "worker_job.hpp"

namespace splitnet {

class Worker::Impl {
 public:
  using Clock = std::chrono::steady_clock;

  // ---- worker.cpp: models and endpoints, what comes in, the end.
  explicit Impl(WorkerOptions options);
  ~Impl() { close(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void add_model(std::string name, std::shared_ptr<const Model> model) {
    models_.add(std::move(name), std::move(model));
  }
  bool replace_model(const std::string& name, std::shared_ptr<const Model> model);
  std::vector<std::string> model_names() const { return models_.names(); }
  void keep_stage(const Model& model, const StageKey& key) { (void)stage_of(model, key); }
  std::string serve(const TransportRegistry& registry, const std::string& endpoint, ListenOptions options);
  bool drain(std::chrono::nanoseconds timeout);
  void close() noexcept;
  WorkerStats stats() const;
  std::optional<std::string> readiness() const;

 private:
  using JobPtr = detail::JobPtr;
  /// A request on its way through a pass.
  struct Pass {
    JobPtr job;
    Message reply;
    std::shared_ptr<const Stage> stage;
    std::vector<Value> inputs;
  };
  void drain_listeners();

  void handle(Message request, CallContext context, Responder respond);
  void admit(const JobPtr& job);
  void check_hops(const StageRequest& asked) const;
  void forget_old_models();
  template <class Step>
  void attempt(const JobPtr& job, Step&& step);
  void respond(const detail::Job& job, Message message);
  void refuse(const detail::Job& job, const Error& error);
  static detail::RequestLog::Origin origin_of(const detail::Job& job) {
    return {job.request, job.context.peer, job.model_name};
  }

  // ---- worker_run.cpp: what the worker's threads do.
  void execute_jobs();
  void execute(const JobPtr& job);
  Message begin_reply(const detail::Job& job);
  std::shared_ptr<const Stage> stage_of(const Model& model, const StageKey& key);
  std::shared_ptr<const Stage> stage_for(const detail::Job& job, Message& reply);
  void probe(const detail::Job& job, Message& reply);
  void prepare(const JobPtr& job);
  void profile(const detail::Job& job, const Stage& stage, const Codec* codec, Message& reply);
  CodecSpeed speed_of(const Model& model, const StageRequest& asked, const Codec& codec);
  void throw_if_unwanted(const detail::Job& job) const;
  void throw_if_hopeless(const detail::Job& job) const;
  void run(const JobPtr& job);
  std::optional<Pass> begin_pass(const JobPtr& job);
  void run_alone(Pass& pass);
  void complete(Pass& pass, double run_s, std::size_t requests);

  // ---- worker_batch.cpp: several requests in one pass.
  bool may_batch(const detail::Job& job, const Stage& stage);
  std::optional<Pass> gather(std::vector<Pass>& passes);
  void run_together(std::vector<Pass>& passes);

  // ---- worker_forward.cpp: the next tier.
  void forward(const JobPtr& job, Message reply, const StageInfo& info, std::vector<Value> values);
  void receive(const detail::Job& job, const std::string& endpoint, Message& reply, Clock::time_point sent,
               CallResult result);

  const WorkerOptions options_;
  const detail::RequestLog log_{options_.log};
  detail::WorkQueue queue_;
  detail::ModelTable models_;
  StageCache cache_;
  detail::CodecCache codecs_;
  detail::Forwarder forwarder_;
  detail::WorkerCounters counters_;

  mutable std::mutex mutex_;  // Guards the next two.
  WorkerStats stats_;         // What is counted here; stats() fills in the rest.
  std::vector<std::unique_ptr<Listener>> listeners_;

  std::mutex zeros_mutex_;  // Its own: filling them takes a while.
  Storage zeros_;           // What probes are answered with.

  std::mutex closing_;  // Held by the one who closes.
  std::vector<std::thread> threads_;
};

/// Whatever goes wrong in a step of a request ends that request, and nothing else.
template <class Step>
void Worker::Impl::attempt(const JobPtr& job, Step&& step) {
  try {
    step();
  } catch (const Error& error) {
    refuse(*job, error);
  } catch (const std::bad_alloc&) {
    refuse(*job, queue_.overloaded("the worker is out of memory"));
  } catch (const std::exception& error) {
    refuse(*job, Error(ErrorCode::internal, error.what()));
  } catch (...) {
    refuse(*job, Error(ErrorCode::internal, "the stage threw something that is not an exception"));
  }
}

}  // namespace splitnet
