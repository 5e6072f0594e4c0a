// SPDX-License-Identifier: Apache-2.0
#include "worker_counters.hpp"

namespace splitnet::detail {
namespace {

void observe_step(Histogram& histogram, const Message& reply, const char* step) {
  const auto found = reply.times_s.find(step);
  if (found != reply.times_s.end()) histogram.observe(found->second);
}

}  // namespace

void WorkerCounters::waited(const std::string& model, double queue_s) {
  const std::lock_guard lock(mutex_);
  stats_.models[model].queue_s.observe(queue_s);
}

void WorkerCounters::answered(const std::string& model, std::size_t request_bytes, const Message& reply) {
  const std::size_t reply_bytes = packed_bytes(reply.values);
  const std::lock_guard lock(mutex_);
  ++stats_.answered;
  ModelStats& counted = stats_.models[model];
  ++counted.answered;
  observe_step(counted.slice_s, reply, "slice");
  observe_step(counted.decode_s, reply, "decode");
  observe_step(counted.run_s, reply, "run");
  counted.request_bytes.observe(static_cast<double>(request_bytes));
  counted.reply_bytes.observe(static_cast<double>(reply_bytes));
}

void WorkerCounters::failed(const std::string& model, std::size_t request_bytes, ErrorCode code) {
  const std::lock_guard lock(mutex_);
  ++stats_.failed;
  ModelStats& counted = stats_.models[model];
  ++counted.failed[code];
  counted.request_bytes.observe(static_cast<double>(request_bytes));
}

void WorkerCounters::write_to(WorkerStats& stats) const {
  const std::lock_guard lock(mutex_);
  stats.answered = stats_.answered;
  stats.failed = stats_.failed;
  stats.models = stats_.models;
}

}  // namespace splitnet::detail
