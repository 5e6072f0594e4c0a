// SPDX-License-Identifier: Apache-2.0
/// \file
/// The server side: runs stages of the models that it was started with.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/error.hpp"
#include "splitnet/histogram.hpp"
#include "splitnet/log.hpp"
#include "splitnet/model.hpp"
#include "splitnet/stage_cache.hpp"
#include "splitnet/transport_registry.hpp"

namespace splitnet {

struct WorkerOptions {
  /// How stages run; see StageOptions.
  StageOptions stage = {};
  /// Threads of the worker's own, each of which slices and runs for one request at a time. At least 1.
  std::size_t executor_threads = 1;
  StageCacheLimits cache = {};
  CodecRegistry codecs = CodecRegistry::with_defaults();
  /// Of the tables of calibrated codecs, which arrive when a stage is prepared; those used longest ago are forgotten
  /// first, and must then be prepared again.
  std::size_t max_codec_table_bytes = std::size_t{64} << 20;
  /// Requests that wait for an executor thread; one more is answered `overloaded`.
  std::size_t max_queued_requests = 256;
  /// Tensor bytes of the requests that wait or run; a request that would exceed it is answered `overloaded`.
  std::size_t max_queued_bytes = std::size_t{2} << 30;
  /// Every request ends with one record: `debug` when it was answered, or refused for a reason that is the caller's or
  /// passes; `error` for a fault of this machine. Its fields are `request_id` (Message::id: counted by each
  /// connection), `peer`, `model`, `operation`, `code` (of an error), `queue_s` and `run_s` (of an answer), and
  /// `trace_id` when a W3C trace context came along.
  LogSink log = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// What a worker did with the requests for one model, since it was made. A plain value.
struct ModelStats {
  std::uint64_t answered = 0;                      ///< Requests that ended with a reply.
  std::map<ErrorCode, std::uint64_t> failed = {};  ///< Requests that ended with an error message, by its code.
  /// In seconds, by the clock of the worker: how long requests waited for a thread, those that failed later included.
  Histogram queue_s = Histogram::of_seconds();
  /// Of the requests that were answered: getting the stage, decoding the values, Stage::run.
  Histogram slice_s = Histogram::of_seconds();
  Histogram decode_s = Histogram::of_seconds();
  Histogram run_s = Histogram::of_seconds();
  /// Tensor bytes, encoded and packed, of all requests, and of replies.
  Histogram request_bytes = Histogram::of_bytes();
  Histogram reply_bytes = Histogram::of_bytes();
};

/// Counters since the worker was made, and what it does now. A plain value.
struct WorkerStats {
  std::uint64_t answered = 0;    ///< Requests that ended with a reply.
  std::uint64_t failed = 0;      ///< Requests that ended with an error message, refused ones included.
  std::uint64_t stages_run = 0;  ///< Passes that were started.
  std::size_t queued = 0;
  std::size_t running = 0;
  std::size_t held_bytes = 0;  ///< Tensor bytes of the requests that wait or run: see WorkerOptions::max_queued_bytes.
  StageCacheStats cache;
  /// By the name it is served under; under the empty name the requests for no model: probes, and unknown names.
  std::map<std::string, ModelStats> models;
};

/// Serves any number of endpoints and models. Thread-safe. The destructor closes.
///
/// What a request goes through, each step before the next: the model's name (a key of a table, never a
/// path), the fingerprint, a place in the queue, deadline and cancellation, the codec, the cut, the inputs. The
/// first that fails ends it with an error message; whatever a stage throws becomes one too, and the worker
/// goes on. A pass that has begun is not interrupted: its late answer is dropped.
///
/// Asked for its profile of a model (Operation::profile), it measures it with the model's example inputs, once, on an
/// executor thread, and keeps it; whoever asks meanwhile waits. Ask a worker that is otherwise idle.
///
/// Replies carry `times_s`: "queue" (waiting for a thread), "slice" (getting the stage, next to nothing
/// when it was cached), "decode" (unless the codec is raw), "run" (Stage::run); to a request with a sampled W3C trace
/// context also the two readings of its clock of trace.hpp.
class Worker {
 public:
  /// Starts the executor threads. Throws invalid_argument, internal (no thread to be had).
  [[nodiscard]] static std::unique_ptr<Worker> create(WorkerOptions options = {});
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// From now on requests may name this model. Throws invalid_argument: an empty name, one that is taken,
  /// one that looks like a path or URL (holds '/', '\\' or ':'), no model.
  void add_model(std::string name, std::shared_ptr<const Model> model);
  /// In alphabetical order.
  [[nodiscard]] std::vector<std::string> model_names() const;

  /// Starts to accept on one more endpoint and returns the address that reaches it, with the port that was
  /// chosen. Errors as TransportRegistry::listen; unavailable after drain or close.
  std::string serve(const TransportRegistry& registry, const std::string& endpoint, const ListenOptions& options = {});

  /// Why requests had better go elsewhere: "loading" as long as no endpoint is served, "draining", "closed". Nothing:
  /// this worker is ready.
  [[nodiscard]] std::optional<std::string> readiness() const;

  /// From now on requests are answered `unavailable`; waits until those before are done. True when nothing
  /// is left, false when `timeout` passed first; may be called again.
  bool drain(std::chrono::nanoseconds timeout);

  /// Answers what is queued with `unavailable`, closes the endpoints, waits for passes under way (their
  /// answers are lost: drain first) and ends the threads. Idempotent. Must not be called from a log sink.
  void close();

  [[nodiscard]] WorkerStats stats() const;

 private:
  class Impl;
  explicit Worker(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace splitnet
