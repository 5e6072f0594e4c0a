// SPDX-License-Identifier: Apache-2.0
// What a worker sends on to the next tier.
#include <algorithm>

#include "elapsed.hpp"
#include "text.hpp"
#include "worker_impl.hpp"

namespace splitnet {

using detail::Job;
using detail::seconds_since;

namespace {

using Clock = std::chrono::steady_clock;

/// Whether a stage computes nothing.
bool has_no_layers(const StageKey& key, const Model& model) {
  const std::size_t before = key.index == 0 ? 0 : key.cuts[key.index - 1].size();
  const std::size_t after = key.index < key.cuts.size() ? key.cuts[key.index].size() : model.layers().layers.size();
  return before == after;
}

/// What the next hop is asked to do; stages that would get nothing and do nothing are left out, so its hop may not be
/// the first one.
struct NextRequest {
  std::string endpoint;
  StageRequest request;
};

std::optional<NextRequest> next_request(const Job& job, bool has_boundary) {
  const StageRequest& asked = job.request.request;
  StageKey key = asked.stage;
  auto hop = asked.next.begin();
  ++key.index;
  while (hop != asked.next.end() && !has_boundary && has_no_layers(key, *job.served->model)) {
    ++hop;
    ++key.index;
  }
  if (hop == asked.next.end()) return std::nullopt;
  return NextRequest{
      hop->endpoint,
      {asked.model, asked.fingerprint, std::move(key), asked.operation, hop->codec, {hop + 1, asked.next.end()}}};
}

/// As the caller of this worker should see it.
Error at_next_tier(const std::string& endpoint, const Error& error) {
  const ErrorCode code = error.code() == ErrorCode::unauthenticated ? ErrorCode::unavailable : error.code();
  return Error(code, "next tier " + endpoint + ": " + error.what(), error.retry_after_s());
}

}  // namespace

/// `values`: what the stage gave, boundary first; to prepare, the tables.
void Worker::Impl::forward(const JobPtr& job, Message reply, const StageInfo& info, std::vector<Value> values) {
  auto next = next_request(*job, info.boundary_count > 0);
  const bool is_run = job->request.request.operation == Operation::run;
  if (!next) {
    if (is_run) reply.values = std::move(values);
    return respond(*job, std::move(reply));
  }
  if (!forwarder_.allows(next->endpoint)) {
    throw Error(ErrorCode::invalid_argument,
                detail::quoted(next->endpoint) + " is not among the endpoints that this worker forwards to");
  }
  Message request;
  request.trace = job->request.trace;
  if (is_run) {
    const auto boundary_end = values.begin() + static_cast<std::ptrdiff_t>(info.boundary_count);
    reply.values.assign(std::make_move_iterator(boundary_end), std::make_move_iterator(values.end()));
    values.erase(boundary_end, values.end());
    if (const auto codec = codecs_.get(next->request.codec)) {
      const auto encoding = Clock::now();
      values = encode_values(*codec, std::move(values)).values;
      reply.times_s["encode"] = seconds_since(encoding);
    }
  }
  request.request = std::move(next->request);
  request.values = std::move(values);
  {
    const std::lock_guard lock(mutex_);
    ++stats_.forwarded;
    ++stats_.forwarding;
  }
  forwarder_.call(next->endpoint, std::move(request), job->context.deadline, job->context.stop,
                  [this, job, endpoint = next->endpoint, sent = Clock::now(),
                   reply = std::make_shared<Message>(std::move(reply))](CallResult result) {
                    {
                      const std::lock_guard lock(mutex_);
                      --stats_.forwarding;
                    }
                    attempt(job, [&] { receive(*job, endpoint, *reply, sent, std::move(result)); });
                  });
}

/// The next tier has answered.
void Worker::Impl::receive(const Job& job, const std::string& endpoint, Message& reply, Clock::time_point sent,
                           CallResult result) {
  reply.times_s["forward"] = seconds_since(sent);
  try {
    if (const auto* error = std::get_if<Error>(&result)) throw *error;
    std::get<Message>(result).throw_if_error();
  } catch (const Error& error) {
    throw at_next_tier(endpoint, error);
  }
  Message& answer = std::get<Message>(result);
  std::move(answer.values.begin(), answer.values.end(), std::back_inserter(reply.values));
  for (const auto& [step, time_s] : answer.times_s) reply.times_s["next." + step] = time_s;
  if (job.context.stop.stop_requested()) throw Error(ErrorCode::cancelled, "cancelled while the next tier ran");
  respond(job, std::move(reply));
}

}  // namespace splitnet
