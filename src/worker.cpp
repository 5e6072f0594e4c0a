// SPDX-License-Identifier: Apache-2.0
#include "splitnet/worker.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "byte_tensor.hpp"
#include "codec_cache.hpp"
#include "request_log.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/error.hpp"
#include "splitnet/trace.hpp"
#include "text.hpp"
#include "worker_counters.hpp"

namespace splitnet {

namespace {

using Clock = std::chrono::steady_clock;

/// A small request must not make a worker send without end.
constexpr std::size_t max_probe_bytes = std::size_t{64} << 20;
/// Names of codecs come from outside, with parameters.
constexpr std::size_t max_codec_speeds = 16;

double clock_s(Clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::size_t tensor_bytes(const std::vector<Value>& values) {
  std::size_t bytes = 0;
  for (const Value& value : values) {
    for_each_tensor(value, [&](const Tensor& tensor) { bytes += tensor.packed_bytes(); });
  }
  return bytes;
}

/// Words from outside, fit for a log line and an error message: printable and not longer than a line.
std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 80;
  std::string result = "\"";
  for (const char c : text.substr(0, longest)) result += c >= ' ' && c < 127 ? c : '?';
  return result + (text.size() > longest ? "…\"" : "\"");
}

/// An error message must fit into the metadata of a message, whatever an operator had to say.
Message error_message(ErrorCode code, std::string_view text) {
  constexpr std::size_t longest = 8192;
  return Message::make_error(Error(code, std::string(text.substr(0, longest))));
}

/// A model with what is known about it.
struct ServedModel {
  std::shared_ptr<const Model> model;
  std::mutex profiling;  // Held while something is measured; guards what follows.
  std::optional<DeviceProfile> profile;
  std::map<std::string, CodecSpeed> codec_speeds;
};

struct Job {
  Message request;
  CallContext context;
  Responder respond;
  std::string model_name;
  std::shared_ptr<ServedModel> served;  // None for a probe.
  std::size_t bytes = 0;
  Clock::time_point received_at = Clock::now();
  Clock::time_point queued_at;
};

/// Why nobody waits for this answer any more, if so.
std::optional<Error> expired(const CallContext& context) {
  if (context.stop.stop_requested()) return Error(ErrorCode::cancelled, "the caller cancelled or went away");
  if (context.deadline && *context.deadline <= Clock::now()) {
    return Error(ErrorCode::deadline_exceeded, "the deadline passed before the worker could start");
  }
  return std::nullopt;
}

/// Only where it was asked for, so that other replies stay as small as they are.
void tell_time(const Job& job, Message& reply) {
  const auto parent = parse_traceparent(job.request.trace.traceparent);
  if (!parent || !parent->sampled) return;
  reply.times_s[clock_received] = clock_s(job.received_at);
  reply.times_s[clock_sent] = clock_s(Clock::now());
}

/// Layer sets are sorted and without repeats, so that one cut has one form, also as a key of the cache.
void check_form(const StageKey& key) {
  for (const LayerSet& cut : key.cuts) {
    if (std::adjacent_find(cut.begin(), cut.end(), std::greater_equal<>()) != cut.end()) {
      throw Error(ErrorCode::invalid_argument, "a cut in the request is not in ascending order");
    }
  }
}

std::string joined_or_none(const std::vector<std::string>& names) {
  return names.empty() ? "none" : detail::joined(names);
}

}  // namespace

void WorkerOptions::validate() const {
  if (executor_threads == 0)
    throw Error(ErrorCode::invalid_argument, "WorkerOptions::executor_threads is 0, at least 1 is needed");
  if (stage.threads < 0) {
    throw Error(ErrorCode::invalid_argument,
                "WorkerOptions::stage.threads is " + std::to_string(stage.threads) + ", expected 0 or more");
  }
}

class Worker::Impl {
 public:
  explicit Impl(WorkerOptions options)
      : options_(std::move(options)), cache_(options_.cache), codecs_(options_.codecs, options_.max_codec_table_bytes) {
    try {
      for (std::size_t i = 0; i < options_.executor_threads; ++i) threads_.emplace_back([this] { execute_jobs(); });
    } catch (const std::system_error& error) {
      close();
      throw Error(ErrorCode::internal, std::string("no thread for the worker: ") + error.what());
    }
  }

  ~Impl() { close(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void add_model(std::string name, std::shared_ptr<const Model> model);
  std::vector<std::string> model_names() const;
  std::string serve(const TransportRegistry& registry, const std::string& endpoint, const ListenOptions& options);
  bool drain(std::chrono::nanoseconds timeout);
  void close() noexcept;
  WorkerStats stats() const;
  std::optional<std::string> readiness() const;

 private:
  enum class State { serving, draining, closed };

  void handle(Message request, CallContext context, Responder respond);
  void find_model(Job& job) const;
  std::optional<Error> enqueue(Job& job);
  void sweep_expired(std::deque<Job>& swept);
  void execute_jobs();
  void execute(Job& job);
  void answer(Job& job, Message& reply);
  void probe(const Job& job, Message& reply);
  void profile(const Job& job, const Stage& stage, const Codec* codec, Message& reply);
  void run(Job& job, const Stage& stage, const Codec* codec, Message& reply);
  CodecSpeed speed_of(const Model& model, const StageRequest& asked, const Codec& codec);
  void throw_if_unwanted(const Job& job) const;
  void respond(const Job& job, Message message);
  void refuse(const Job& job, ErrorCode code, std::string_view text);
  static detail::RequestLog::Origin origin_of(const Job& job) {
    return {job.request, job.context.peer, job.model_name};
  }

  const WorkerOptions options_;
  const detail::RequestLog log_{options_.log};
  StageCache cache_;
  detail::CodecCache codecs_;
  detail::WorkerCounters counters_;

  mutable std::mutex mutex_;  // Guards everything below.
  std::condition_variable work_or_end_;
  std::condition_variable idle_;
  State state_ = State::serving;
  std::map<std::string, std::shared_ptr<ServedModel>> models_;
  std::deque<Job> queue_;
  std::size_t running_ = 0;
  std::size_t bytes_ = 0;  // Of queued and running jobs.
  std::uint64_t stages_run_ = 0;
  std::vector<std::unique_ptr<Listener>> listeners_;

  std::mutex zeros_mutex_;  // Its own: filling them takes a while.
  Storage zeros_;           // What probes are answered with.

  std::mutex closing_;  // Held by the one who closes.
  std::vector<std::thread> threads_;
};

void Worker::Impl::add_model(std::string name, std::shared_ptr<const Model> model) {
  if (name.empty() || name.find_first_of("/\\:") != std::string::npos) {
    throw Error(ErrorCode::invalid_argument,
                "a model can't have the name " + quoted(name) + ": expected a word without '/', '\\' and ':'");
  }
  if (!model) throw Error(ErrorCode::invalid_argument, "no model given for the name " + quoted(name));
  auto served = std::make_shared<ServedModel>();
  served->model = std::move(model);
  const std::lock_guard lock(mutex_);
  const auto [position, added] = models_.try_emplace(std::move(name), std::move(served));
  if (!added) {
    throw Error(ErrorCode::invalid_argument, "this worker already has a model " + quoted(position->first));
  }
}

std::vector<std::string> Worker::Impl::model_names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, model] : models_) names.push_back(name);
  return names;
}

std::string Worker::Impl::serve(const TransportRegistry& registry, const std::string& endpoint,
                                const ListenOptions& options) {
  auto listener = registry.listen(
      endpoint,
      [this](Message request, CallContext context, Responder respond) {
        handle(std::move(request), std::move(context), std::move(respond));
      },
      options);
  std::string address = listener->address();
  {
    const std::lock_guard lock(mutex_);
    if (state_ == State::serving) {
      listeners_.push_back(std::move(listener));
      return address;
    }
  }
  listener->close();
  throw Error(ErrorCode::unavailable, "this worker no longer serves: it is draining or closed");
}

// ---- One request, on a thread of the transport: everything that is cheap to refuse.

void Worker::Impl::handle(Message request, CallContext context, Responder respond) {
  Job job;
  job.request = std::move(request);
  job.context = std::move(context);
  job.respond = std::move(respond);
  try {
    job.bytes = tensor_bytes(job.request.values);
    find_model(job);
    if (const auto error = enqueue(job)) throw *error;
  } catch (const Error& error) {
    refuse(job, error.code(), error.what());
  } catch (const std::exception& error) {
    refuse(job, ErrorCode::internal, error.what());
  }
}

/// A name is looked up in a table and nothing else is ever done with it.
void Worker::Impl::find_model(Job& job) const {
  if (job.request.kind != MessageKind::request) {
    throw Error(ErrorCode::invalid_argument, "a worker takes requests, this message is of another kind");
  }
  const StageRequest& asked = job.request.request;
  if (asked.operation == Operation::probe) return;
  const std::lock_guard lock(mutex_);
  auto found =
      asked.model.empty()
          ? std::find_if(models_.begin(), models_.end(),
                         [&](const auto& entry) { return entry.second->model->fingerprint() == asked.fingerprint; })
          : models_.find(asked.model);
  if (found == models_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, model] : models_) names.push_back(name);
    if (asked.model.empty()) {
      throw Error(ErrorCode::incompatible, "no model with fingerprint " + quoted(asked.fingerprint) +
                                               " here; the models here are others: " + joined_or_none(names));
    }
    throw Error(ErrorCode::invalid_argument,
                "unknown model " + quoted(asked.model) + "; this worker has: " + joined_or_none(names));
  }
  if (found->second->model->fingerprint() != asked.fingerprint) {
    throw Error(ErrorCode::incompatible, "model " + quoted(found->first) + " has fingerprint " +
                                             found->second->model->fingerprint() + " here, the request was made for " +
                                             quoted(asked.fingerprint));
  }
  job.model_name = found->first;
  job.served = found->second;
}

/// Takes the job into the queue, or says why not (and leaves it as it was).
std::optional<Error> Worker::Impl::enqueue(Job& job) {
  std::deque<Job> swept;
  std::optional<Error> refused;
  {
    const std::lock_guard lock(mutex_);
    const auto full = [&] {
      return queue_.size() >= options_.max_queued_requests ||
             (bytes_ > 0 && job.bytes > options_.max_queued_bytes - std::min(bytes_, options_.max_queued_bytes));
    };
    if (state_ != State::serving) {
      refused.emplace(ErrorCode::unavailable, "this worker is shutting down");
    } else if (job.bytes > options_.max_queued_bytes) {
      refused.emplace(ErrorCode::too_large, "a request of " + std::to_string(job.bytes) +
                                                " tensor bytes, this worker takes at most " +
                                                std::to_string(options_.max_queued_bytes));
    } else {
      if (full()) sweep_expired(swept);
      if (full()) {
        refused.emplace(ErrorCode::overloaded, "this worker has " + std::to_string(queue_.size()) +
                                                   " requests waiting and " + std::to_string(bytes_) +
                                                   " tensor bytes in hand, more than it takes");
      }
    }
    if (!refused) {
      const std::size_t bytes = job.bytes;
      job.queued_at = Clock::now();
      queue_.push_back(std::move(job));
      bytes_ += bytes;
    }
  }
  if (!refused) work_or_end_.notify_one();
  for (const Job& old : swept) {
    const auto error = expired(old.context);
    refuse(old, error->code(), error->what());
  }
  return refused;
}

/// Places taken by requests that nobody waits for any more are free.
void Worker::Impl::sweep_expired(std::deque<Job>& swept) {
  for (auto job = queue_.begin(); job != queue_.end();) {
    if (expired(job->context)) {
      bytes_ -= job->bytes;
      swept.push_back(std::move(*job));
      job = queue_.erase(job);
    } else {
      ++job;
    }
  }
}

// ---- The work, on a thread of the worker.

void Worker::Impl::execute_jobs() {
  for (;;) {
    std::optional<Job> job;
    {
      std::unique_lock lock(mutex_);
      work_or_end_.wait(lock, [this] { return !queue_.empty() || state_ == State::closed; });
      if (queue_.empty()) return;
      job.emplace(std::move(queue_.front()));
      queue_.pop_front();
      ++running_;
    }
    const std::size_t bytes = job->bytes;
    try {
      execute(*job);
    } catch (...) {  // No memory even for an error message: dropping the responder answers `internal`.
    }
    job.reset();
    const std::lock_guard lock(mutex_);
    --running_;
    bytes_ -= bytes;
    if (running_ == 0 && queue_.empty()) idle_.notify_all();
  }
}

void Worker::Impl::execute(Job& job) {
  try {
    Message reply;
    reply.kind = MessageKind::reply;
    const double queue_s = reply.times_s["queue"] = seconds_since(job.queued_at);
    counters_.waited(job.model_name, queue_s);
    answer(job, reply);
    if (job.context.stop.stop_requested()) throw Error(ErrorCode::cancelled, "cancelled while it ran");
    respond(job, std::move(reply));
  } catch (const Error& error) {
    refuse(job, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    refuse(job, ErrorCode::overloaded, "the worker is out of memory");
  } catch (const std::exception& error) {
    refuse(job, ErrorCode::internal, error.what());
  } catch (...) {
    refuse(job, ErrorCode::internal, "the stage threw something that is not an exception");
  }
}

namespace {

/// Of the codec, when a stage is prepared or profiled.
CodecTables tables_in(const Message& request) {
  const Operation operation = request.request.operation;
  if (request.values.empty() || (operation != Operation::prepare && operation != Operation::profile)) return nullptr;
  return std::make_shared<const std::string>(
      detail::bytes_in(request.values.front(), "the tables of a codec", ErrorCode::invalid_argument));
}

}  // namespace

void Worker::Impl::answer(Job& job, Message& reply) {
  if (const auto error = expired(job.context)) throw *error;
  const StageRequest& asked = job.request.request;
  if (asked.operation == Operation::probe) return probe(job, reply);

  const auto codec = codecs_.get(asked.codec, tables_in(job.request));
  const auto slicing = Clock::now();
  const StageKey& key = asked.stage;
  check_form(key);
  const auto stage =
      cache_.get({job.model_name, key}, [&] { return job.served->model->make_stage(key, options_.stage); });
  reply.times_s["slice"] = seconds_since(slicing);
  if (asked.operation == Operation::profile) profile(job, *stage, codec.get(), reply);
  if (asked.operation == Operation::run) run(job, *stage, codec.get(), reply);
}

/// As many bytes back as were asked for, within what this worker would hold for a request. All replies share them.
void Worker::Impl::probe(const Job& job, Message& reply) {
  const auto* wanted = job.request.values.empty() ? nullptr : job.request.values.front().get_if<std::int64_t>();
  const auto most = static_cast<std::int64_t>(std::min(options_.max_queued_bytes, max_probe_bytes));
  if (wanted == nullptr || *wanted < 0 || *wanted > most) {
    throw Error(ErrorCode::invalid_argument,
                "a probe for " + (wanted == nullptr ? "an unknown number of" : std::to_string(*wanted)) +
                    " bytes, expected 0 … " + std::to_string(most));
  }
  const auto bytes = static_cast<std::size_t>(*wanted);
  const std::lock_guard lock(zeros_mutex_);
  if (zeros_.size_bytes() < bytes) {
    zeros_ = Storage::allocate(bytes);
    std::fill_n(zeros_.data(), bytes, std::byte{0});
  }
  reply.values.emplace_back(Tensor{zeros_, DType::u8, {*wanted}, {1}, 0});
}

void Worker::Impl::profile(const Job& job, const Stage& stage, const Codec* codec, Message& reply) {
  ServedModel& served = *job.served;
  const StageRequest& asked = job.request.request;
  const std::lock_guard one_at_a_time(served.profiling);
  throw_if_unwanted(job);  // It may have waited for the lock.
  if (!served.profile) {
    log_.say(LogLevel::info, "measuring the profile of the model", origin_of(job));
    ProfileOptions options{.stage = options_.stage};
    options.progress = [&](std::size_t, std::size_t) { throw_if_unwanted(job); };
    served.profile = profile_device(*served.model, served.model->example_inputs(), options);
  }
  DeviceProfile profile = *served.profile;
  if (codec != nullptr) {
    auto speed = served.codec_speeds.find(asked.codec);
    if (speed == served.codec_speeds.end()) {
      if (served.codec_speeds.size() >= max_codec_speeds) served.codec_speeds.clear();
      speed = served.codec_speeds.emplace(asked.codec, speed_of(*served.model, asked, *codec)).first;
    }
    profile.codecs.push_back(speed->second);
  }
  // As a tensor: metadata is too small for the profile of a large model.
  reply.values.emplace_back(detail::to_byte_tensor(to_json(profile)));
  reply.values.emplace_back(stage_memory_bytes(profile, stage.info(), asked.stage));
}

/// With the boundary before the stage, when one is named.
CodecSpeed Worker::Impl::speed_of(const Model& model, const StageRequest& asked, const Codec& codec) {
  if (asked.stage.index == 0) return measure_codec_speed(asked.codec, codec, model.layers());
  return measure_codec_speed(asked.codec, codec, example_boundary(model, asked.stage, options_.stage));
}

/// Ends work that nobody waits for, or that the end of this worker waits for.
void Worker::Impl::throw_if_unwanted(const Job& job) const {
  if (const auto error = expired(job.context)) throw *error;
  const std::lock_guard lock(mutex_);
  if (state_ == State::closed) throw Error(ErrorCode::unavailable, "this worker is shutting down");
}

void Worker::Impl::run(Job& job, const Stage& stage, const Codec* codec, Message& reply) {
  auto values = std::move(job.request.values);
  if (codec != nullptr) {
    const auto decoding = Clock::now();
    const std::size_t expected = stage.info().inputs.size();
    if (values.size() != expected) {
      throw Error(ErrorCode::invalid_argument,
                  std::to_string(values.size()) + " encoded values, expected " + std::to_string(expected));
    }
    values = decode_values(*codec, std::move(values), options_.max_queued_bytes);
    reply.times_s["decode"] = seconds_since(decoding);
  }
  if (const auto error = expired(job.context)) throw *error;
  {
    const std::lock_guard lock(mutex_);
    ++stages_run_;
  }
  const auto running = Clock::now();
  reply.values = stage.run(std::move(values));
  reply.times_s["run"] = seconds_since(running);
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

void Worker::Impl::refuse(const Job& job, ErrorCode code, std::string_view text) {
  log_.failed(origin_of(job), code, text);
  respond(job, error_message(code, text));
}

// ---- The end.

bool Worker::Impl::drain(std::chrono::nanoseconds timeout) {
  std::unique_lock lock(mutex_);
  if (state_ == State::serving) state_ = State::draining;
  return idle_.wait_for(lock, timeout, [this] { return running_ == 0 && queue_.empty(); });
}

void Worker::Impl::close() noexcept {
  const std::lock_guard one_at_a_time(closing_);
  std::deque<Job> left;
  std::vector<std::unique_ptr<Listener>> listeners;
  {
    const std::lock_guard lock(mutex_);
    state_ = State::closed;
    left.swap(queue_);
    for (const Job& job : left) bytes_ -= job.bytes;
    listeners.swap(listeners_);
    if (running_ == 0) idle_.notify_all();
  }
  work_or_end_.notify_all();
  for (const Job& job : left) refuse(job, ErrorCode::unavailable, "this worker is shutting down");
  for (const auto& listener : listeners) listener->close();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

WorkerStats Worker::Impl::stats() const {
  WorkerStats now;
  counters_.write_to(now);
  now.cache = cache_.stats();
  const std::lock_guard lock(mutex_);
  for (const auto& [name, served] : models_) now.models.try_emplace(name);
  now.stages_run = stages_run_;
  now.queued = queue_.size();
  now.running = running_;
  now.held_bytes = bytes_;
  return now;
}

std::optional<std::string> Worker::Impl::readiness() const {
  const std::lock_guard lock(mutex_);
  switch (state_) {
    case State::draining: return "draining";
    case State::closed: return "closed";
    case State::serving: break;
  }
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
std::vector<std::string> Worker::model_names() const {
  return impl_->model_names();
}
std::string Worker::serve(const TransportRegistry& registry, const std::string& endpoint,
                          const ListenOptions& options) {
  return impl_->serve(registry, endpoint, options);
}
std::optional<std::string> Worker::readiness() const {
  return impl_->readiness();
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

}  // namespace splitnet
