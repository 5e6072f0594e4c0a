// SPDX-License-Identifier: Apache-2.0
#include "splitnet/worker.hpp"

#include <algorithm>
#include <functional>
#include <system_error>

#include "elapsed.hpp"
#include "splitnet/trace.hpp"
#include "text.hpp"
#include "worker_impl.hpp"

namespace splitnet {

using detail::Job;
using detail::quoted;

namespace {

/// An error message must fit into the metadata of a message, whatever an operator had to say.
Message error_message(const Error& error) {
  constexpr std::size_t longest = 8192;
  const std::string_view text = error.what();
  if (text.size() <= longest) return Message::make_error(error);
  return Message::make_error(Error(error.code(), std::string(text.substr(0, longest)), error.retry_after_s()));
}

/// Only where it was asked for, so that other replies stay as small as they are.
void tell_time(const Job& job, Message& reply) {
  const auto parent = parse_traceparent(job.request.trace.traceparent);
  if (!parent || !parent->sampled) return;
  reply.times_s[clock_received] = detail::reading_s(job.received_at);
  reply.times_s[clock_sent] = detail::reading_s(std::chrono::steady_clock::now());
}

/// Layer sets are sorted and without repeats, so that one cut has one form, also as a key of the cache.
void check_form(const StageKey& key) {
  for (const LayerSet& cut : key.cuts) {
    if (std::adjacent_find(cut.begin(), cut.end(), std::greater_equal<>()) != cut.end()) {
      throw Error(ErrorCode::invalid_argument, "a cut in the request is not in ascending order");
    }
  }
}

void require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorCode::invalid_argument, message);
}

}  // namespace

void WorkerOptions::validate() const {
  require(executor_threads > 0, "WorkerOptions::executor_threads is 0, at least 1 is needed");
  require(stage.threads >= 0,
          "WorkerOptions::stage.threads is " + std::to_string(stage.threads) + ", expected 0 or more");
  require(batching.max_rows > 0, "WorkerOptions::batching.max_rows is 0, at least 1 is needed");
  require(batching.max_wait.count() >= 0 && batching.max_wait <= std::chrono::hours(1),
          "WorkerOptions::batching.max_wait is " + std::to_string(batching.max_wait.count()) +
              " ns, expected 0 to an hour");
  require(batching.tolerance >= 0,
          "WorkerOptions::batching.tolerance is " + std::to_string(batching.tolerance) + ", expected 0 or more");
  require(replaced_model_grace.count() >= 0, "WorkerOptions::replaced_model_grace is negative");
  const auto schemes = registry.schemes();
  for (const std::string& endpoint : forward_to) {
    const std::string scheme = endpoint.substr(0, std::min(endpoint.find("://"), endpoint.size()));
    require(scheme != endpoint && std::find(schemes.begin(), schemes.end(), scheme) != schemes.end(),
            "WorkerOptions::forward_to: '" + endpoint + "' is no endpoint, expected for example tcp://10.0.0.2:7070");
  }
}

Worker::Impl::Impl(WorkerOptions options)
    : options_(std::move(options)),
      queue_({options_.max_queued_requests, options_.max_queued_bytes, options_.executor_threads}),
      models_(options_.replaced_model_grace),
      cache_(options_.cache),
      codecs_(options_.codecs, options_.max_codec_table_bytes),
      forwarder_(options_.registry, options_.connect, options_.forward_to) {
  try {
    for (std::size_t i = 0; i < options_.executor_threads; ++i) threads_.emplace_back([this] { execute_jobs(); });
  } catch (const std::system_error& error) {
    close();
    throw Error(ErrorCode::internal, std::string("no thread for the worker: ") + error.what());
  }
}

bool Worker::Impl::replace_model(const std::string& name, std::shared_ptr<const Model> model) {
  const bool is_new = models_.replace(name, std::move(model));
  forget_old_models();
  return is_new;
}

void Worker::Impl::forget_old_models() {
  for (const auto& old : models_.take_forgotten()) cache_.drop(old->model->fingerprint());
}

std::string Worker::Impl::serve(const TransportRegistry& registry, const std::string& endpoint, ListenOptions options) {
  if (!options.log) options.log = options_.log;
  auto listener = registry.listen(
      endpoint,
      [this](Message request, CallContext context, Responder respond) {
        handle(std::move(request), std::move(context), std::move(respond));
      },
      options);
  std::string address = listener->address();
  {
    const std::lock_guard lock(mutex_);
    if (queue_.is_serving()) {
      listeners_.push_back(std::move(listener));
      return address;
    }
  }
  listener->close();
  throw Error(ErrorCode::unavailable, "this worker no longer serves: it is draining or closed");
}

// ---- One request, on a thread of the transport: everything that is cheap to refuse.

void Worker::Impl::handle(Message request, CallContext context, Responder respond) {
  const auto job = std::make_shared<Job>();
  job->request = std::move(request);
  job->context = std::move(context);
  job->respond = std::move(respond);
  job->bytes = packed_bytes(job->request.values);
  attempt(job, [&] { admit(job); });
}

void Worker::Impl::admit(const JobPtr& job) {
  if (job->request.kind != MessageKind::request) {
    throw Error(ErrorCode::invalid_argument, "a worker takes requests, this message is of another kind");
  }
  const StageRequest& asked = job->request.request;
  if (asked.operation != Operation::probe) {
    forget_old_models();
    auto found = models_.find(asked);
    job->model_name = std::move(found.name);
    job->served = std::move(found.served);
    check_form(asked.stage);
    check_hops(asked);
  }
  if (asked.operation == Operation::run)
    job->expected_s = job->served->stages.time_of(asked.stage).mean_s().value_or(0);
  job->client = detail::client_of(job->context.peer);
  std::vector<detail::WorkQueue::Dropped> dropped;
  const auto refused = queue_.push(job, dropped);
  for (const auto& [lost, error] : dropped) refuse(*lost, error);
  if (refused) throw *refused;
}

void Worker::Impl::check_hops(const StageRequest& asked) const {
  if (asked.next.empty()) return;
  if (asked.operation != Operation::run && asked.operation != Operation::prepare) {
    throw Error(ErrorCode::invalid_argument, "only to run and to prepare can be forwarded");
  }
  const std::size_t stages_behind = asked.stage.cuts.size() - std::min(asked.stage.index, asked.stage.cuts.size());
  if (asked.next.size() > stages_behind) {
    throw Error(ErrorCode::invalid_argument, std::to_string(asked.next.size()) + " next hops, but only " +
                                                 std::to_string(stages_behind) + " stages behind this one");
  }
  const std::string& endpoint = asked.next.front().endpoint;
  if (!forwarder_.allows(endpoint)) {
    throw Error(ErrorCode::invalid_argument,
                quoted(endpoint) + " is not among the endpoints that this worker forwards to");
  }
}

/// Counts before it sends: who has the answer sees it counted.
void Worker::Impl::respond(const Job& job, Message message) {
  message.id = job.request.id;
  if (message.kind == MessageKind::reply) {
    counters_.answered(job.model_name, job.bytes, message);
    log_.answered(origin_of(job), message);
    tell_time(job, message);
  } else {
    counters_.failed(job.model_name, job.bytes, message.error);
  }
  try {
    job.respond(std::move(message));
  } catch (const std::exception& error) {
    log_.say(LogLevel::warning, std::string("an answer could not be sent: ") + error.what(), origin_of(job));
  }
}

void Worker::Impl::refuse(const Job& job, const Error& error) {
  log_.failed(origin_of(job), error.code(), error.what());
  respond(job, error_message(error));
}

// ---- The end.

bool Worker::Impl::drain(std::chrono::nanoseconds timeout) {
  drain_listeners();
  return queue_.drain(timeout);
}

void Worker::Impl::drain_listeners() {
  const std::lock_guard lock(mutex_);
  for (const auto& listener : listeners_) listener->drain();
}

void Worker::Impl::close() noexcept {
  const std::lock_guard one_at_a_time(closing_);
  try {
    // What is refused now is no failure of the request: a queue has it come again, though its delivery counts.
    drain_listeners();
  } catch (const std::exception&) {  // No memory: then it is one, and may be the last.
  }
  const Error why(ErrorCode::unavailable, "this worker is shutting down");
  for (const JobPtr& job : queue_.close()) refuse(*job, why);
  forwarder_.close();
  std::vector<std::unique_ptr<Listener>> listeners;
  {
    const std::lock_guard lock(mutex_);
    listeners.swap(listeners_);
  }
  for (const auto& listener : listeners) listener->close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

WorkerStats Worker::Impl::stats() const {
  const auto counts = queue_.counts();
  WorkerStats now;
  {
    const std::lock_guard lock(mutex_);
    now = stats_;
  }
  counters_.write_to(now);
  for (const std::string& name : models_.names()) now.models.try_emplace(name);
  now.queued = counts.queued;
  now.running = counts.running;
  now.held_bytes = counts.bytes;
  now.cache = cache_.stats();
  return now;
}

std::optional<std::string> Worker::Impl::readiness() const {
  if (queue_.is_closed()) return "closed";
  if (!queue_.is_serving()) return "draining";
  const std::lock_guard lock(mutex_);
  return listeners_.empty() ? std::optional<std::string>("loading") : std::nullopt;
}

std::unique_ptr<Worker> Worker::create(WorkerOptions options) {
  options.validate();
  return std::unique_ptr<Worker>(new Worker(std::make_unique<Impl>(std::move(options))));
}

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::~Worker() = default;

void Worker::add_model(std::string name, std::shared_ptr<const Model> model) {
  impl_->add_model(std::move(name), std::move(model));
}
bool Worker::replace_model(const std::string& name, std::shared_ptr<const Model> model) {
  return impl_->replace_model(name, std::move(model));
}
void Worker::keep_stage(const Model& model, const StageKey& key) {
  impl_->keep_stage(model, key);
}

std::vector<std::string> Worker::model_names() const {
  return impl_->model_names();
}
std::string Worker::serve(const TransportRegistry& registry, const std::string& endpoint,
                          const ListenOptions& options) {
  return impl_->serve(registry, endpoint, options);
}
bool Worker::drain(std::chrono::nanoseconds timeout) {
  return impl_->drain(timeout);
}
void Worker::close() {
  impl_->close();
}
WorkerStats Worker::stats() const {
  return impl_->stats();
}
std::optional<std::string> Worker::readiness() const {
  return impl_->readiness();
}

}  // namespace splitnet
