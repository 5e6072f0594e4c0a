// SPDX-License-Identifier: Apache-2.0
/// \file
/// The device side: runs the head here and has workers run the rest.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/cost_model.hpp"
#include "splitnet/cut.hpp"
#include "splitnet/model.hpp"
#include "splitnet/planner.hpp"
#include "splitnet/policy.hpp"
#include "splitnet/refinement.hpp"
#include "splitnet/tier_profiler.hpp"
#include "splitnet/trace_recorder.hpp"
#include "splitnet/transport_registry.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

/// Four forms: `worker` and `cut` (two stages), `worker` and `objective` (the session plans), `workers` and `cuts`
/// (k stages), or none of them (device only).
struct SessionOptions {
  /// Endpoint of the worker that runs the tail, for example "tcp://127.0.0.1:7070".
  std::string worker = {};
  /// Where the head ends. The default leaves everything to the worker; with no worker it must stay so.
  Cut cut = Cut::at_input();

  /// k-way: workers[i] runs stage i + 1, which ends at cuts[i + 1]. As many workers as cuts; an endpoint may
  /// stand there more than once. Boundaries between workers pass through the device, unless `forward`.
  std::vector<std::string> workers = {};
  std::vector<Cut> cuts = {};
  /// Boundaries go from worker to worker: the session asks the first one, which asks the next one, by the endpoint that
  /// stands here and that it must be allowed to forward to (WorkerOptions::forward_to), and so on.
  bool forward = false;

  /// Of every boundary; see CodecRegistry. With an objective the plan says.
  std::string codec = "raw";
  CodecTables codec_tables = {};  ///< Those that the name means, for a codec that was calibrated.
  /// In place of `codec`, for one worker: answers that are close are asked for once more. codec_tables are for both
  /// codecs.
  std::optional<Refinement> refinement = {};

  /// The session measures device, worker and link when it opens, and chooses cut and codec, or not to split: takes some
  /// 20 passes on either machine (the worker's only once) and seconds on the link, but for what `planning` gives.
  std::optional<Objective> objective = {};
  Constraints constraints = {};
  /// For an objective: what is known already, codecs to choose from, power and prices (which energy and dollars need).
  /// model_name, codec_registry, the device's threads and an empty name of the worker are set by the session.
  TwoTierOptions planning = {};
  /// With an objective: decides anew before each inference, for example adaptive_policy(). Without: the first plan is
  /// kept to.
  PolicyFactory policy = {};

  /// More endpoints that serve what `worker` does, all there when the session opens. One that is lost, or refuses, is
  /// left for the next one in this order.
  std::vector<std::string> spare_workers = {};
  /// The device runs the rest itself where no worker gives an answer: when it is lost or refuses, and at the last
  /// moment that still meets the deadline, as far as its own times (their 99th percentile) tell. What it gives is what
  /// the plan gives, codec included. Costs the memory of the whole model.
  bool finish_on_device = true;
  /// Of one inference, beyond its first request, and for all together a tenth of the requests. Where the device can't
  /// finish, requests with a deadline wait until then for a worker that is there and has room.
  std::size_t max_retries = 2;
  /// How many Session::decisions remembers.
  std::size_t kept_decisions = 1024;

  /// What the workers call the model. Empty: the one whose fingerprint is this model's.
  std::string model_name = {};
  /// Of the head; see StageOptions::threads.
  int threads = 0;
  /// For each inference, from the call of `run` or `submit`; absent means no deadline.
  std::optional<std::chrono::nanoseconds> deadline = {};
  /// How long a worker may take in `open` to check and slice its stage.
  std::chrono::nanoseconds prepare_timeout = std::chrono::seconds(60);
  /// Inferences under way at once, waiting ones included. At least 1.
  std::size_t max_in_flight = 32;
  TransportRegistry registry = TransportRegistry::with_defaults();
  CodecRegistry codec_registry = CodecRegistry::with_defaults();
  ConnectOptions connect = {};
  /// Gets the steps of every inference, but for those whose RunOptions::trace is not sampled: on the device "wait",
  /// "input decode", "head", "encode", "send", "receive", "rest" and around them "inference", and on each worker
  /// "queue", "slice", "decode", "run" and, when it forwards, "encode" and "forward", all on the clock of the device.
  /// Workers of wire format 4 (docs/wire_format.md) only.
  std::shared_ptr<TraceRecorder> trace_recorder = {};
};

/// For one inference.
struct RunOptions {
  /// Instead of SessionOptions::deadline.
  std::optional<std::chrono::nanoseconds> deadline = {};
  /// Stop it to cancel: the inference ends with `cancelled`, a pass that has begun runs to its end unseen.
  std::stop_token stop = {};
  /// What this inference is a part of. Travels to the workers, as it is, or with a span id of the inference's own where
  /// a trace_recorder writes that span down. One that is not well-formed counts as none.
  TraceContext trace = {};
  /// Called every now and then (some 50 ms) on the calling thread while `run` waits for a place or the answer, and
  /// `submit` for a place: for hosts that have signals to look after. What it throws cancels the inference and leaves
  /// `run` or `submit`, whose `done` is then never called.
  std::function<void()> while_waiting = {};
};

/// How long one request to a worker took.
struct HopTimes {
  double encode_s = 0;             ///< By the codec, on the device.
  double transport_s = 0;          ///< Messages and wire, both ways: all that is in no other field.
  double queue_s = 0;              ///< On the worker: waiting for a thread, and for the stage to be cut.
  double decode_s = 0;             ///< By the codec, on the worker, by its clock; also encoding what it forwards.
  double run_s = 0;                ///< Stage::run on the worker, by its clock; sum over those it is forwarded to.
  std::int64_t request_bytes = 0;  ///< Tensor bytes sent, encoded and packed; without header and metadata.
  std::int64_t reply_bytes = 0;    ///< Tensor bytes received.
  friend bool operator==(const HopTimes&, const HopTimes&) = default;
};

/// Where the time of one inference went, on the monotonic clock of the device.
/// total_s = wait_s + input_decode_s + head_s + encode_s + transport_s + queue_s + decode_s + tail_s + device_wait_s +
/// rest_s + what splitnet itself took.
struct StepTimes {
  double wait_s = 0;                ///< For a place in flight and for the heads of earlier inferences.
  double input_decode_s = 0;        ///< From picture files to tensors, where the device needs those.
  double head_s = 0;                ///< Stage::run of the head.
  double encode_s = 0;              ///< Sum over hops.
  double transport_s = 0;           ///< Sum over hops.
  double queue_s = 0;               ///< Sum over hops.
  double decode_s = 0;              ///< Sum over hops.
  double tail_s = 0;                ///< Sum of HopTimes::run_s.
  double device_wait_s = 0;         ///< From the request until the device began with the rest; 0: it did not.
  double rest_s = 0;                ///< Of the rest on the device, with decoding what was sent; 0: a worker was first.
  double total_s = 0;               ///< From the call of `run` or `submit` to the answer.
  std::int64_t boundary_bytes = 0;  ///< HopTimes::request_bytes of the first hop.
  std::vector<HopTimes> hops;  ///< One for each request to a worker: stages, and a refined answer's second request.
  friend bool operator==(const StepTimes&, const StepTimes&) = default;
};

/// What one inference gave.
struct Answer {
  Value output;  ///< What the uncut model gives, up to what the codec changes.
  StepTimes times;
  /// Tensors that crossed a cut bit by bit, and larger than planned, since they held NaN, infinity or the like.
  std::size_t kept_exact = 0;
  bool refined = false;  ///< Asked for a second time: see SessionOptions::refinement.
  Decision decision;     ///< With an objective: what was to run where, and why.
  /// Endpoint of the worker that gave the answer, or forwarded it; empty: the device finished it.
  std::string answered_by;
  bool hedged = false;       ///< The device began with the rest, beside a worker or after one.
  std::size_t requests = 0;  ///< To workers, retries included.
};

/// A decision that was taken.
struct DecisionRecord {
  std::uint64_t inference = 0;  ///< Counted from 1.
  double at_s = 0;              ///< Since the session was opened.
  Decision decision;
  std::string codec;  ///< Of the decision, by name.
  friend bool operator==(const DecisionRecord&, const DecisionRecord&) = default;
};

/// Counters since the session was opened. A plain value.
struct SessionStats {
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::uint64_t requests = 0;         ///< To workers.
  std::uint64_t retries = 0;          ///< Of those: an inference's second one and later ones.
  std::uint64_t failed_requests = 0;  ///< Of those: without an answer, or with an error.
  std::uint64_t late_replies = 0;     ///< Of those: the device was first.
  std::uint64_t finished_here = 0;    ///< Inferences meant for a worker that the device finished.
  double finishing_s = 0;             ///< What it computed for them, also where the worker was first after all.
  std::uint64_t probes = 0;
  friend bool operator==(const SessionStats&, const SessionStats&) = default;
};

/// One model on this device and workers. Thread-safe. The destructor closes.
///
/// An input that the model takes as a tensor of f32 may come as an EncodedPicture (encoded_picture.hpp), of the size of
/// the model's example input; all pictures of one inference with one codec. Where the inputs go to a worker whole, its
/// file travels as it is, whatever the session's codec, and the worker decodes it; otherwise the device does, as well
/// as where a plan that knows of the files (CodecProfile::inputs_arrive) wants so. Either way the model gets the bits
/// of EncodedPicture::decode, up to what the session's codec changes of tensors.
///
/// Errors of an inference: invalid_argument (count, type, dtype or rank of an input; a picture of another size; a shape
/// that an operator refuses), deadline_exceeded, cancelled (also by `close`), unavailable (a worker is gone; the
/// message names its endpoint), overloaded, too_large, incompatible, corrupt (a damaged picture too), internal; those
/// of a worker only where the device does not finish (SessionOptions::finish_on_device; an input that a worker refuses
/// is refused by the device too, or it has the answer). The session stays usable after
/// each of them, also when a worker was started anew (not over `inproc:`): ConnectOptions::reconnect. A worker that
/// failed is asked again after a pause, by one inference at a time, until it answers; the others do without it.
class Session {
 public:
  /// Plans if asked to, cuts the model, connects, and has every worker check the fingerprint and slice its stage, so
  /// that the first inference meets no surprise. Keeps `model` alive. Throws invalid_argument (options; unknown layer;
  /// a name or codec that the worker doesn't have; constraints that no plan keeps to, naming the one in the way; an
  /// objective for a model without example inputs), unsupported_model (a refused cut, with its reason), unavailable
  /// (nobody there, naming the endpoint), incompatible (the worker has another version of the model),
  /// deadline_exceeded, overloaded.
  [[nodiscard]] static std::unique_ptr<Session> open(std::shared_ptr<const Model> model, SessionOptions options = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The plan behind SessionOptions::objective; null without one. Lives as long as the session.
  [[nodiscard]] const Plan* plan() const noexcept;
  /// Plan::explain; without an objective nothing.
  [[nodiscard]] std::string explain(std::size_t rows = 20) const;

  /// One inference; the head runs on the calling thread. Waits for a place when max_in_flight are under
  /// way. Throws as above.
  Answer run(std::vector<Value> inputs, const RunOptions& options = {});

  /// One inference in a pipeline: heads run one after the other, in the order of the calls, on a thread of the
  /// session, while earlier inferences travel and are finished elsewhere. Waits for a place when max_in_flight
  /// are under way (back-pressure), at most until the deadline. Every error arrives through the future.
  std::future<Answer> submit(std::vector<Value> inputs, const RunOptions& options = {});

  using Done = std::function<void(std::variant<Answer, Error>)>;
  /// As submit; answers are told as they come. `done` runs once, on a thread of the session or of a connection (or in
  /// this call, with an error; or in that of close), and must neither throw, nor block, nor close or destroy the
  /// session.
  void submit(std::vector<Value> inputs, Done done, const RunOptions& options = {});

  /// As submit, but gives nothing instead of waiting for a place; `inputs` are then left as they were.
  std::optional<std::future<Answer>> try_submit(std::vector<Value>& inputs, const RunOptions& options = {});

  /// The latest decisions, oldest first; none without an objective.
  [[nodiscard]] std::vector<DecisionRecord> decisions() const;
  [[nodiscard]] SessionStats stats() const;

  /// Ends what is in flight with `cancelled`, waits for a head that is running, closes the connections.
  /// Later inferences end with `cancelled`. Idempotent.
  void close();

 private:
  class Impl;
  explicit Session(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace splitnet
