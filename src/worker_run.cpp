// SPDX-License-Identifier: Apache-2.0
// What the threads of a worker do with requests.
#include <algorithm>

#include "byte_tensor.hpp"
#include "elapsed.hpp"
#include "splitnet/device_profiler.hpp"
#include "text.hpp"
#include "worker_impl.hpp"

namespace splitnet {

using detail::Job;
using detail::seconds_since;

namespace {

using Clock = std::chrono::steady_clock;

/// A small request must not make a worker send without end.
constexpr std::size_t max_probe_bytes = std::size_t{64} << 20;
/// Names of codecs come from outside, with parameters.
constexpr std::size_t max_codec_speeds = 16;

/// Of the codec, when a stage is prepared or profiled.
CodecTables tables_in(const Message& request) {
  const Operation operation = request.request.operation;
  if (request.values.empty() || (operation != Operation::prepare && operation != Operation::profile)) return nullptr;
  return std::make_shared<const std::string>(
      detail::bytes_in(request.values.front(), "the tables of a codec", ErrorCode::invalid_argument));
}

void throw_if_expired(const CallContext& context) {
  if (const auto code = detail::expired(context)) throw detail::expiry_error(*code);
}

}  // namespace

void Worker::Impl::execute_jobs() {
  while (JobPtr job = queue_.pop()) {
    try {
      execute(job);
    } catch (...) {  // No memory even for an error message: dropping the responder answers `internal`.
    }
    job.reset();
    queue_.leave();
  }
}

void Worker::Impl::execute(const JobPtr& job) {
  switch (job->request.request.operation) {
    case Operation::run: return run(job);
    case Operation::prepare: return attempt(job, [&] { prepare(job); });
    case Operation::probe:
      return attempt(job, [&] {
        Message reply = begin_reply(*job);
        probe(*job, reply);
        respond(*job, std::move(reply));
      });
    case Operation::profile:
      return attempt(job, [&] {
        Message reply = begin_reply(*job);
        const auto codec = codecs_.get(job->request.request.codec, tables_in(job->request));
        const auto stage = stage_for(*job, reply);
        profile(*job, *stage, codec.get(), reply);
        respond(*job, std::move(reply));
      });
  }
}

Message Worker::Impl::begin_reply(const Job& job) {
  Message reply;
  reply.kind = MessageKind::reply;
  const double queue_s = reply.times_s["queue"] = seconds_since(job.queued_at);
  counters_.waited(job.model_name, queue_s);
  throw_if_expired(job.context);
  return reply;
}

std::shared_ptr<const Stage> Worker::Impl::stage_of(const Model& model, const StageKey& key) {
  return cache_.get({model.fingerprint(), key}, [&] { return model.make_stage(key, options_.stage); });
}

std::shared_ptr<const Stage> Worker::Impl::stage_for(const Job& job, Message& reply) {
  const auto slicing = Clock::now();
  auto stage = stage_of(*job.served->model, job.request.request.stage);
  reply.times_s["slice"] = seconds_since(slicing);
  return stage;
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

void Worker::Impl::prepare(const JobPtr& job) {
  Message reply = begin_reply(*job);
  (void)codecs_.get(job->request.request.codec, tables_in(job->request));
  const auto stage = stage_for(*job, reply);
  (void)may_batch(*job, *stage);
  if (job->request.request.next.empty()) return respond(*job, std::move(reply));
  // The encoder of the boundary that goes on has its tables from here, as the next tier has.
  (void)codecs_.get(job->request.request.next.front().codec, tables_in(job->request));
  forward(job, std::move(reply), stage->info(), job->request.values);
}

void Worker::Impl::profile(const Job& job, const Stage& stage, const Codec* codec, Message& reply) {
  detail::ServedModel& served = *job.served;
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
  throw_if_expired(job.context);
  if (queue_.is_closed()) throw Error(ErrorCode::unavailable, "this worker is shutting down");
}

// ---- Passes.

/// When nobody waits behind it, it runs nevertheless: a wrong estimate would otherwise stay for ever.
void Worker::Impl::throw_if_hopeless(const Job& job) const {
  if (!job.context.deadline || queue_.counts().queued == 0) return;
  const double least_s = job.served->stages.time_of(job.request.request.stage).at_least_s();
  const std::chrono::duration<double> left = *job.context.deadline - Clock::now();
  if (least_s <= left.count()) return;
  throw Error(ErrorCode::deadline_exceeded, "the deadline is " + detail::short_number(left.count()) +
                                                " s away, and this takes at least " + detail::short_number(least_s) +
                                                " s of late");
}

void Worker::Impl::run(const JobPtr& job) {
  auto first = begin_pass(job);
  if (!first) return;
  if (!may_batch(*job, *first->stage)) return run_alone(*first);
  std::vector<Pass> passes;
  passes.push_back(std::move(*first));
  auto left_over = gather(passes);
  run_together(passes);
  if (left_over) run_alone(*left_over);
}

/// Everything up to the pass; nothing when that has ended the request.
std::optional<Worker::Impl::Pass> Worker::Impl::begin_pass(const JobPtr& job) {
  std::optional<Pass> result;
  attempt(job, [&] {
    Pass pass{job, begin_reply(*job), nullptr, {}};
    throw_if_hopeless(*job);
    const auto codec = codecs_.get(job->request.request.codec);
    pass.stage = stage_for(*job, pass.reply);
    pass.inputs = std::move(job->request.values);
    if (codec) {
      const auto decoding = Clock::now();
      const std::size_t expected = pass.stage->info().inputs.size();
      if (pass.inputs.size() != expected) {
        throw Error(ErrorCode::invalid_argument,
                    std::to_string(pass.inputs.size()) + " encoded values, expected " + std::to_string(expected));
      }
      pass.inputs = decode_values(*codec, std::move(pass.inputs), options_.max_queued_bytes);
      pass.reply.times_s["decode"] = seconds_since(decoding);
    }
    throw_if_expired(job->context);
    result = std::move(pass);
  });
  return result;
}

void Worker::Impl::run_alone(Pass& pass) {
  attempt(pass.job, [&] {
    {
      const std::lock_guard lock(mutex_);
      ++stats_.stages_run;
    }
    const auto running = Clock::now();
    pass.reply.values = pass.stage->run(std::move(pass.inputs));
    complete(pass, seconds_since(running), 1);
  });
}

/// `run_s`: of the whole pass, for so many requests.
void Worker::Impl::complete(Pass& pass, double run_s, std::size_t requests) {
  const Job& job = *pass.job;
  pass.reply.times_s["run"] = run_s;
  const auto decode = pass.reply.times_s.find("decode");
  const double decode_s = decode == pass.reply.times_s.end() ? 0 : decode->second;
  job.served->stages.note_time(job.request.request.stage, decode_s + run_s);
  queue_.note_time(decode_s + run_s / static_cast<double>(requests));
  if (job.context.stop.stop_requested()) throw Error(ErrorCode::cancelled, "cancelled while it ran");
  if (job.request.request.next.empty()) return respond(job, std::move(pass.reply));
  auto outputs = std::exchange(pass.reply.values, {});
  forward(pass.job, std::move(pass.reply), pass.stage->info(), std::move(outputs));
}

}  // namespace splitnet
