// SPDX-License-Identifier: Apache-2.0
// Requests that a worker runs together.
#include <algorithm>

#include "elapsed.hpp"
#include "row_batch.hpp"
#include "splitnet/device_profiler.hpp"
#include "worker_impl.hpp"

namespace splitnet {

using detail::Batchable;
using detail::Job;

namespace {

using Clock = std::chrono::steady_clock;

/// How long this request may wait for others now: half of what its deadline leaves beside its own pass, for the answer
/// has to travel, a pass of many rows takes longer, and estimates stray.
Clock::time_point waits_until(const Job& job, Clock::time_point latest) {
  if (!job.context.deadline) return latest;
  const auto now = Clock::now();
  return std::min(latest, now + (*job.context.deadline - now - detail::as_duration(job.expected_s)) / 2);
}

}  // namespace

/// Who asks first for a stage finds out; until then others are run one by one.
bool Worker::Impl::may_batch(const Job& job, const Stage& stage) {
  const auto& batching = options_.batching;
  if (batching.max_rows < 2) return false;
  const StageKey& key = job.request.request.stage;
  auto& stages = job.served->stages;
  const Batchable known = stages.begin_check(key);
  if (known != Batchable::unknown) return known == Batchable::yes;
  bool independent = false;
  const Model& model = *job.served->model;
  try {
    const auto example = example_boundary(model, key, options_.stage);
    independent = detail::rows_are_independent(stage, example, batching.max_rows, batching.tolerance);
  } catch (const std::exception&) {  // Without example inputs nothing can be shown.
  }
  stages.note_batchable(key, independent ? Batchable::yes : Batchable::no);
  return independent;
}

/// Adds what waits for the same stage and can be joined. Returns one that was taken and could not.
std::optional<Worker::Impl::Pass> Worker::Impl::gather(std::vector<Pass>& passes) {
  const auto most = static_cast<std::int64_t>(options_.batching.max_rows);
  const auto first_rows = detail::rows_of(passes.front().inputs);
  if (!first_rows) return std::nullopt;
  const JobPtr first = passes.front().job;
  const auto is_alike = [&](const Job& job) {
    return job.served == first->served && job.request.request.operation == Operation::run &&
           job.request.request.stage == first->request.request.stage;
  };
  auto until = waits_until(*first, first->queued_at + options_.batching.max_wait);
  std::int64_t rows = *first_rows;
  while (rows < most) {
    const JobPtr job = queue_.pop_if(is_alike, until);
    if (!job) break;
    auto pass = begin_pass(job);
    if (!pass) continue;
    const auto more = detail::rows_of(pass->inputs);
    if (!more || rows + *more > most || !detail::can_join(passes.front().inputs, pass->inputs)) return pass;
    rows += *more;
    until = waits_until(*job, until);
    passes.push_back(std::move(*pass));
  }
  return std::nullopt;
}

void Worker::Impl::run_together(std::vector<Pass>& passes) {
  if (passes.size() == 1) return run_alone(passes.front());
  std::optional<std::vector<std::vector<Value>>> results;
  double run_s = 0;
  const auto began = Clock::now();
  try {
    std::vector<std::vector<Value>> inputs;
    std::vector<std::int64_t> counts;
    for (const Pass& pass : passes) {
      inputs.push_back(pass.inputs);
      counts.push_back(detail::rows_of(pass.inputs).value());
    }
    auto joined = detail::join_rows(inputs);
    {
      const std::lock_guard lock(mutex_);
      ++stats_.stages_run;
      ++stats_.batches;
      stats_.batched_requests += passes.size();
    }
    results = detail::split_rows(passes.front().stage->run(std::move(joined)), counts);
    run_s = detail::seconds_since(began);
  } catch (...) {  // One of them may be to blame: each has its own error, or answer, when it runs alone.
  }
  for (std::size_t i = 0; i < passes.size(); ++i) {
    Pass& pass = passes[i];
    if (!results) {
      run_alone(pass);
      continue;
    }
    attempt(pass.job, [&] {
      auto& times = pass.reply.times_s;
      const auto decode = times.find("decode");
      const double since_queued_s = detail::seconds_between(pass.job->queued_at, began);
      const double decode_s = decode == times.end() ? 0 : decode->second;
      times["queue"] = std::max(0.0, since_queued_s - times["slice"] - decode_s);
      pass.reply.values = std::move((*results)[i]);
      complete(pass, run_s, passes.size());
    });
  }
}

}  // namespace splitnet
