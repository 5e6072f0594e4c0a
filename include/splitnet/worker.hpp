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

/// Requests for one stage that wait at the same time are run in one pass, their tensors joined along dimension 0. Only
/// where a check has shown that each row of the results is what it is without the others: the worker makes it when the
/// stage is prepared or first run, in a dozen passes with the model's example inputs and variations of them, alone and
/// together. A stage is run for one request at a time when the model has no example inputs or those fill more than half
/// of max_rows, when it gives anything but tensors with a row for each row of its inputs (a number that depends on the
/// batch, say), and when rows influence one another. Requests are joined when they differ only in rows and codecs.
struct BatchingOptions {
  /// The most rows in one pass; 1: every request has a pass of its own.
  std::size_t max_rows = 1;
  /// How much longer a request may wait for others, counted from its arrival; a thread that has anything else to do
  /// does not wait, and none waits longer than half of what a deadline leaves beside the pass. At most an hour.
  std::chrono::nanoseconds max_wait = std::chrono::milliseconds(2);
  /// How far a result may be from what the request alone gives, as a part of the largest element of its tensor. 0:
  /// every bit is the same, which few kernels keep to.
  double tolerance = 1e-5;
};

/// How a worker computes, and its limits.
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
  /// Requests that wait for an executor thread; one more is answered `overloaded`, or takes the place of another
  /// client's (see Worker).
  std::size_t max_queued_requests = 256;
  /// Tensor bytes of the requests that are not answered yet; one that would exceed it is answered `overloaded`
  /// likewise.
  std::size_t max_queued_bytes = std::size_t{2} << 30;
  /// Every request ends with one record: `debug` when it was answered, or refused for a reason that is the caller's or
  /// passes; `error` for a fault of this machine. Its fields are `request_id` (Message::id: counted by each
  /// connection), `peer`, `model`, `operation`, `code` (of an error), `queue_s` and `run_s` (of an answer), and
  /// `trace_id` when a W3C trace context came along.
  LogSink log = {};
  BatchingOptions batching = {};
  /// A model's version that was replaced still answers the requests that were made for it, until nobody has asked for
  /// it for so long. What it takes of memory goes with the next request, or replace_model, after that.
  std::chrono::nanoseconds replaced_model_grace = std::chrono::seconds(60);
  /// Endpoints of the next tier that requests may name (StageRequest::next), letter by letter; none: nothing is
  /// forwarded. They are reached through `registry` with `connect`, whose token is this worker's own.
  std::vector<std::string> forward_to = {};
  TransportRegistry registry = TransportRegistry::with_defaults();
  ConnectOptions connect = {};

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
  std::uint64_t answered = 0;          ///< Requests that ended with a reply.
  std::uint64_t failed = 0;            ///< Requests that ended with an error message, refused ones included.
  std::uint64_t stages_run = 0;        ///< Passes that were started.
  std::uint64_t batches = 0;           ///< Of them for several requests at once.
  std::uint64_t batched_requests = 0;  ///< Requests in those.
  std::uint64_t forwarded = 0;         ///< Requests that were sent on to the next tier.
  std::size_t queued = 0;
  std::size_t running = 0;     ///< Threads that are busy.
  std::size_t forwarding = 0;  ///< Requests that wait for the next tier.
  std::size_t held_bytes = 0;  ///< Tensor bytes of the requests without an answer: see WorkerOptions::max_queued_bytes.
  StageCacheStats cache;
  /// By the name it is served under; under the empty name the requests for no model: probes, and unknown names.
  std::map<std::string, ModelStats> models;
};

/// Serves any number of endpoints and models. Thread-safe. The destructor closes.
///
/// What a request goes through, each step before the next: the model's name (a key of a table, never a
/// path), the fingerprint, the endpoints to forward to, a place in the queue, deadline and cancellation, the codec, the
/// cut, the inputs. The first that fails ends it with an error message; whatever a stage throws becomes one too, and
/// the worker goes on. A pass that has begun is not interrupted: its late answer is dropped.
///
/// Clients (CallContext::peer: a connection or a process; over HTTP an address) take turns, one request each. When the
/// queue or the byte budget is full, a client takes the place of the newest request of the one that has most waiting,
/// if it still has fewer then; otherwise it is refused. A request with a deadline is refused at once when those in
/// front of it would, by the times of late, take until then, and is not started when its own pass would. What is
/// refused is `overloaded`, with the time in which everything that is there will be done (between 10 ms and 10 s) as
/// Error::retry_after_s, once the worker knows how long requests take.
///
/// Asked for its profile of a model (Operation::profile), it measures it with the model's example inputs, once, on an
/// executor thread, and keeps it; whoever asks meanwhile waits. Ask a worker that is otherwise idle.
///
/// A run with StageRequest::next goes on to another worker: this one runs its stage, encodes the boundary with the
/// codec of the first hop, sends it on with what is left of the hops, with deadline, cancellation and trace, and
/// answers with its own results and behind them what came back. A stage without layers that gets no boundary is left
/// out. No thread waits meanwhile; the request keeps its bytes of the budget. To prepare with `next` prepares the hops
/// too, with the same tables. Errors of the next tier are passed on with its endpoint in their text, but that
/// `unauthenticated`, which is between the workers, becomes `unavailable`.
///
/// Replies carry `times_s`: "queue" (waiting for a thread, and for others to share a pass with), "slice" (getting the
/// stage, next to nothing when it was cached), "decode" (unless the codec is raw), "run" (Stage::run; of all requests
/// in the pass), and of what was forwarded "encode" (unless its codec is raw), "forward" (from sending it on to its
/// answer) and, as parts of that, "next." in front of each name that the next tier gave; to a request with a sampled
/// W3C trace context also the two readings of its clock of trace.hpp.
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
  /// From now on requests for this name get this version of the model; what was asked of the one before is still
  /// answered by it (WorkerOptions::replaced_model_grace), so nobody's request is lost. False when the fingerprint is
  /// the same, and nothing changes. Throws invalid_argument: an unknown name, no model.
  bool replace_model(const std::string& name, std::shared_ptr<const Model> model);
  /// In alphabetical order.
  [[nodiscard]] std::vector<std::string> model_names() const;
  /// Cuts a stage now and keeps it, as a request to prepare it would: for cuts that are likely to be asked for. Throws
  /// as Model::make_stage.
  void keep_stage(const Model& model, const StageKey& key);

  /// Starts to accept on one more endpoint and returns the address that reaches it, with the port that was
  /// chosen. Its log is the worker's, unless `options` has one. Errors as TransportRegistry::listen; unavailable after
  /// drain or close.
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
