// SPDX-License-Identifier: Apache-2.0
#include "splitnet/session.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <variant>

#include "byte_tensor.hpp"
#include "inference_trace.hpp"
#include "own_bytes.hpp"
#include "picture_inputs.hpp"
#include "refinement_name.hpp"
#include "splitnet/error.hpp"

namespace splitnet {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double>(end - start).count();
}

std::int64_t tensor_bytes(const std::vector<Value>& values) {
  std::int64_t bytes = 0;
  for (const Value& value : values) {
    for_each_tensor(value, [&](const Tensor& tensor) { bytes += static_cast<std::int64_t>(tensor.packed_bytes()); });
  }
  return bytes;
}

/// The same error, naming the worker it has to do with.
Error at_worker(const std::string& endpoint, const Error& error) {
  const std::string_view what = error.what();
  if (what.find(endpoint) != std::string_view::npos) return error;
  return Error(error.code(), "worker " + endpoint + ": " + std::string(what));
}

/// A stage that a worker runs.
struct Hop {
  std::string endpoint;
  std::shared_ptr<Connection> connection;
  StageKey key;
  StageInfo info;
  bool empty = false;  ///< Nothing to compute and nothing to give: it is not called.
};

/// Worker endpoints and cuts of all forms of options, as one list of each.
struct Route {
  std::vector<std::string> workers;
  std::vector<Cut> cuts;
};

void require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorCode::invalid_argument, message);
}

/// What costs nothing can be neither made small nor bounded.
void check_objective(const SessionOptions& options) {
  const bool energy = options.objective == Objective::energy || options.constraints.max_energy_joule;
  require(!energy || options.planning.power != DevicePower{},
          "SessionOptions: energy matters, and planning.power is all 0; say how much the device takes");
  const bool dollars = options.objective == Objective::dollars || options.constraints.max_dollars;
  require(!dollars || options.planning.worker.price != Price{},
          "SessionOptions: dollars matter, and planning.worker.price is all 0; say what the worker charges");
}

Route route_of(const SessionOptions& options) {
  const bool two_way_cut = options.cut != Cut::at_input();
  if (options.objective) {
    require(!options.worker.empty() && options.workers.empty(),
            "SessionOptions: an objective is for one device and one worker; give worker");
    require(!two_way_cut && options.cuts.empty() && options.codec == "raw" && !options.refinement,
            "SessionOptions: give either an objective, or cut and codec");
    check_objective(options);
    return {{options.worker}, {}};
  }
  if (options.refinement) {
    require(!options.worker.empty(), "SessionOptions: a refinement is for one device and one worker; give worker");
    require(options.codec == "raw", "SessionOptions: give either a codec or a refinement");
    options.refinement->validate();
  }
  require(options.constraints == Constraints{}, "SessionOptions: constraints without an objective bind nothing");
  require(!detail::is_refinement_name(options.codec),
          "SessionOptions: codec '" + options.codec + "' is the name of a refinement; give it as refinement");
  if (options.workers.empty() && options.cuts.empty()) {
    require(!options.worker.empty() || !two_way_cut,
            "SessionOptions: a cut (" + to_string(options.cut) + ") without a worker");
    if (options.worker.empty()) return {};
    return {{options.worker}, {options.cut}};
  }
  require(options.worker.empty() && !two_way_cut, "SessionOptions: give either worker and cut, or workers and cuts");
  require(options.workers.size() == options.cuts.size(), "SessionOptions: " + std::to_string(options.workers.size()) +
                                                             " workers for " + std::to_string(options.cuts.size()) +
                                                             " cuts, expected as many");
  return {options.workers, options.cuts};
}

void check(const SessionOptions& options) {
  require(options.max_in_flight > 0, "SessionOptions::max_in_flight is 0, at least 1 is needed");
  require(options.threads >= 0,
          "SessionOptions::threads is " + std::to_string(options.threads) + ", expected 0 or more");
}

/// Throws what is there instead.
Message& reply_in(CallResult& result) {
  if (const auto* error = std::get_if<Error>(&result)) throw *error;
  auto& reply = std::get<Message>(result);
  reply.throw_if_error();
  return reply;
}

/// The worker's word on its times, as far as it can be true.
double reported_s(const Message& reply, const char* step, double at_most_s) {
  const auto found = reply.times_s.find(step);
  if (found == reply.times_s.end() || !(found->second >= 0)) return 0;
  return found->second < at_most_s ? found->second : at_most_s;
}

/// Which input each output of a stage without layers is; nothing when there are others among them.
std::optional<std::vector<std::size_t>> passed_inputs(const StageInfo& info) {
  if (!info.result_slots.empty()) return std::nullopt;
  std::vector<std::size_t> passed;
  for (const StageValue& output : info.outputs) {
    const auto found = std::find(info.inputs.begin(), info.inputs.end(), output);
    if (found == info.inputs.end()) return std::nullopt;
    passed.push_back(static_cast<std::size_t>(found - info.inputs.begin()));
  }
  return passed;
}

/// Another session's tables may push this one's out again before its request is there.
constexpr int most_prepared_again = 4;

/// One inference on its way.
struct Call {
  std::promise<Answer> promise;
  std::vector<Value> inputs;    // Of the head.
  std::vector<Value> boundary;  // Of the next hop.
  std::vector<Value> again;     // The boundary once more, while its answer may be too close.
  std::string framed_for;       // The codec that the boundary is encoded with already; empty: it is not.
  std::optional<Message> sent;  // Kept while the worker may answer that it has the codec's tables no more.
  int prepared_again = 0;       // Times that it did.
  std::vector<Value> slots;
  std::size_t kept_exact = 0;
  bool refined = false;
  StepTimes times;
  Deadline deadline;
  std::stop_token stop;
  Clock::time_point begun = Clock::now();
  Clock::time_point hop_begun;
  detail::InferenceTrace trace;
  std::atomic<bool> finished = false;

  void throw_if_expired() const {
    if (stop.stop_requested()) throw Error(ErrorCode::cancelled, "the inference was cancelled");
    if (deadline && *deadline <= Clock::now()) {
      throw Error(ErrorCode::deadline_exceeded, "the deadline of the inference passed");
    }
  }
};
using CallPtr = std::shared_ptr<Call>;

}  // namespace

/// Completions hold a share of it, so it outlives every one of them.
class Session::Impl : public std::enable_shared_from_this<Session::Impl> {
 public:
  Impl(std::shared_ptr<const Model> model, SessionOptions options)
      : model_(std::move(model)), options_(std::move(options)) {
    if (options_.trace_recorder) trace_ = std::make_shared<detail::SessionTrace>(options_.trace_recorder);
  }

  void open();
  Answer run(std::vector<Value> inputs, const RunOptions& options);
  std::future<Answer> submit(std::vector<Value> inputs, const RunOptions& options);
  std::optional<std::future<Answer>> try_submit(std::vector<Value>& inputs, const RunOptions& options);
  void close() noexcept;
  const Plan* plan() const noexcept { return plan_ ? &*plan_ : nullptr; }
  std::string explain(std::size_t rows) const { return plan_ ? plan_->explain(problem_, rows) : std::string(); }

 private:
  void cut_stages(const Route& route);
  void connect(const std::string& endpoint);
  void choose(Route& route);
  [[nodiscard]] Message preparation(const Hop& hop, const std::string& codec) const;
  void prepare(const Hop& hop);

  CallPtr new_call(const RunOptions& options) const;
  void wait_for_place(Call& call);
  bool take_place();  // Under the lock.
  void enqueue(CallPtr call);

  void run_heads();
  void run_head(const CallPtr& call);
  void pass_on(Call& call, std::string codec) const;
  void decode_pictures(Call& call, const std::string& codec) const;
  void take(Call& call, const StageInfo& info, std::vector<Value> outputs) const;
  void send(const CallPtr& call, std::size_t index);
  void transmit(const CallPtr& call, std::size_t index, Message request);
  void prepare_again(const CallPtr& call, std::size_t index);
  void receive(const CallPtr& call, std::size_t index, CallResult result);
  bool asks_again(Call& call) const;
  void note_times(Call& call, const Message& reply) const;
  Answer answer(Call& call) const;
  void finish(const CallPtr& call, std::variant<Answer, Error> outcome);
  template <class Step>
  void guarded(const CallPtr& call, Step&& step);
  Error closed_error() const { return Error(ErrorCode::cancelled, "the session is closed"); }

  const std::shared_ptr<const Model> model_;
  const SessionOptions options_;
  std::shared_ptr<detail::SessionTrace> trace_;  // With a recorder.
  PlanningProblem problem_;                      // With an objective.
  std::optional<Plan> plan_;
  /// A codec as requests name it.
  struct NamedCodec {
    std::string name = "raw";
    std::shared_ptr<const Codec> codec = {};  // None for raw.
  };
  [[nodiscard]] NamedCodec make_codec(const std::string& name) const;
  const NamedCodec& codec_of(const Call& call) const { return call.refined ? second_codec_ : codec_; }

  NamedCodec codec_;
  NamedCodec second_codec_;  // With a refinement.
  std::optional<Refinement> refinement_;
  CodecTables codec_tables_;
  bool inputs_arrive_ = false;     // The plan is for inputs that come in its codec: tensors travel raw.
  bool decodes_pictures_ = false;  // The plan has the device decode what comes encoded.
  std::map<std::string, std::shared_ptr<Connection>> connections_;
  std::unique_ptr<Stage> head_;
  /// For each value of the first boundary the input that it is, when a worker gets inputs and nothing else.
  std::optional<std::vector<std::size_t>> passed_inputs_;
  std::vector<Hop> hops_;

  std::mutex head_mutex_;  // Heads run one at a time.
  std::mutex mutex_;       // Guards everything below.
  std::condition_variable_any place_or_close_;
  std::condition_variable_any head_or_close_;
  std::condition_variable_any all_finished_;
  bool closed_ = false;
  std::size_t places_taken_ = 0;
  std::size_t unfinished_ = 0;  // Calls whose promise is not kept yet.
  std::deque<CallPtr> waiting_heads_;

  std::mutex closing_;  // Held by the one who closes.
  std::thread head_thread_;
};

// ---- Opening.

void Session::Impl::open() {
  if (!model_) throw Error(ErrorCode::invalid_argument, "Session::open: no model");
  check(options_);
  Route route = route_of(options_);
  codec_.name = options_.codec;
  codec_tables_ = options_.codec_tables;
  refinement_ = options_.refinement;
  if (options_.objective) choose(route);
  if (refinement_) {
    codec_.name = refinement_->first_codec;
    second_codec_ = make_codec(refinement_->second_codec);
  }
  if (!inputs_arrive_) codec_ = make_codec(codec_.name);
  const bool only_input =
      route.cuts.size() <= 1 && std::all_of(route.cuts.begin(), route.cuts.end(),
                                            [&](const Cut& cut) { return model_->layers().resolve(cut).empty(); });
  require(!codec_.codec || !codec_.codec->only_inputs() || only_input,
          "SessionOptions: codec " + codec_.name + " is for the model's inputs, and the cut sends what layers made");
  cut_stages(route);
  for (Hop& hop : hops_) {
    connect(hop.endpoint);
    hop.connection = connections_[hop.endpoint];
  }
  for (const Hop& hop : hops_) prepare(hop);
  try {
    head_thread_ = std::thread([this] { run_heads(); });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::internal, std::string("no thread for the session: ") + error.what());
  }
}

/// The stages of the workers are cut here too, for their boundaries alone.
void Session::Impl::cut_stages(const Route& route) {
  StageKey key;
  for (const Cut& cut : route.cuts) key.cuts.push_back(model_->layers().resolve(cut));
  head_ = model_->make_stage(key, {.threads = options_.threads});
  if (!decodes_pictures_ && !key.cuts.empty() && key.cuts.front().empty())
    passed_inputs_ = passed_inputs(head_->info());
  for (std::size_t i = 0; i < route.workers.size(); ++i) {
    key.index = i + 1;
    const std::size_t layers_before = key.cuts[i].size();
    const std::size_t layers_after = i + 1 < key.cuts.size() ? key.cuts[i + 1].size() : model_->layers().layers.size();
    Hop hop;
    hop.endpoint = route.workers[i];
    hop.key = key;
    hop.info = model_->make_stage(key)->info();
    hop.empty = layers_before == layers_after && hop.info.outputs.empty();
    hops_.push_back(std::move(hop));
  }
}

Session::Impl::NamedCodec Session::Impl::make_codec(const std::string& name) const {
  return {name, options_.codec_registry.make(name, codec_tables_)};
}

void Session::Impl::connect(const std::string& endpoint) {
  auto& connection = connections_[endpoint];
  if (!connection) connection = options_.registry.connect(endpoint, options_.connect);
}

/// Measures, plans, and puts cut and codec into place; `route` has the worker, and loses it when it does not pay.
void Session::Impl::choose(Route& route) {
  const std::string endpoint = route.workers.front();
  connect(endpoint);
  TwoTierOptions options = options_.planning;
  options.model_name = options_.model_name;
  options.codec_registry = options_.codec_registry;
  options.device_options.stage.threads = options_.threads;
  options.worker.name = "worker " + endpoint;
  problem_ = profile_two_tiers(*model_, *connections_[endpoint], options);
  const SequentialPlanner planner(problem_, [this](const auto& heads) { return !model_->refusal(heads); });
  plan_ = planner.plan(*options_.objective, options_.constraints);
  if (!plan_->chosen) throw Error(ErrorCode::invalid_argument, "Session::open: " + plan_->infeasible);
  const Assignment& assignment = plan_->chosen->assignment;
  if (assignment.heads.empty()) {
    route = {};
    connections_.clear();
    return;
  }
  route.cuts = {Cut::of(assignment.heads.front())};
  codec_.name = assignment.codecs.front();
  for (const CodecProfile& codec : problem_.codecs) {
    const bool is_chosen = codec.name == codec_.name && (!codec.head || *codec.head == assignment.heads.front());
    if (is_chosen) {
      codec_tables_ = codec.tables;
      refinement_ = codec.refinement;
    }
    inputs_arrive_ = inputs_arrive_ || (codec.inputs_arrive && is_chosen);
    decodes_pictures_ = decodes_pictures_ || (codec.inputs_arrive && !is_chosen);
  }
}

Message Session::Impl::preparation(const Hop& hop, const std::string& codec) const {
  Message request;
  request.request = {options_.model_name, model_->fingerprint(), hop.key, Operation::prepare, codec};
  if (codec_tables_) request.values.emplace_back(detail::to_byte_tensor(*codec_tables_));
  return request;
}

void Session::Impl::prepare(const Hop& hop) {
  const auto deadline = Clock::now() + options_.prepare_timeout;
  const auto prepare_for = [&](const std::string& codec) {
    call_and_wait(*hop.connection, preparation(hop, codec), deadline);
  };
  try {
    prepare_for(codec_.name);
    if (refinement_) prepare_for(second_codec_.name);
  } catch (const Error& error) {
    throw at_worker(hop.endpoint, error);
  }
}

// ---- Starting an inference.

CallPtr Session::Impl::new_call(const RunOptions& options) const {
  auto call = std::make_shared<Call>();
  const auto time_left = options.deadline ? options.deadline : options_.deadline;
  if (time_left) call->deadline = call->begun + *time_left;
  call->stop = options.stop;
  call->trace = detail::InferenceTrace(trace_, options.trace);
  call->slots.resize(model_->result_slot_count());
  return call;
}

bool Session::Impl::take_place() {
  if (closed_ || places_taken_ >= options_.max_in_flight) return false;
  ++places_taken_;
  ++unfinished_;
  return true;
}

void Session::Impl::wait_for_place(Call& call) {
  std::unique_lock lock(mutex_);
  const auto ready = [this] { return closed_ || places_taken_ < options_.max_in_flight; };
  if (call.deadline) {
    place_or_close_.wait_until(lock, call.stop, *call.deadline, ready);
  } else {
    place_or_close_.wait(lock, call.stop, ready);
  }
  if (closed_) throw closed_error();
  if (!take_place()) {
    call.throw_if_expired();
    throw Error(ErrorCode::deadline_exceeded, "the deadline passed before the inference could start");
  }
}

Answer Session::Impl::run(std::vector<Value> inputs, const RunOptions& options) {
  const CallPtr call = new_call(options);
  auto future = call->promise.get_future();
  wait_for_place(*call);
  call->inputs = std::move(inputs);
  guarded(call, [&] { run_head(call); });
  return future.get();
}

std::future<Answer> Session::Impl::submit(std::vector<Value> inputs, const RunOptions& options) {
  const CallPtr call = new_call(options);
  auto future = call->promise.get_future();
  try {
    wait_for_place(*call);
  } catch (const Error&) {
    call->promise.set_exception(std::current_exception());
    return future;
  }
  call->inputs = std::move(inputs);
  enqueue(call);
  return future;
}

std::optional<std::future<Answer>> Session::Impl::try_submit(std::vector<Value>& inputs, const RunOptions& options) {
  const CallPtr call = new_call(options);
  auto future = call->promise.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      call->promise.set_exception(std::make_exception_ptr(closed_error()));
      return future;
    }
    if (!take_place()) return std::nullopt;
  }
  call->inputs = std::move(inputs);
  enqueue(call);
  return future;
}

void Session::Impl::enqueue(CallPtr call) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      waiting_heads_.push_back(std::move(call));
      head_or_close_.notify_one();
      return;
    }
  }
  finish(call, closed_error());
}

// ---- The head.

void Session::Impl::run_heads() {
  for (;;) {
    CallPtr call;
    {
      std::unique_lock lock(mutex_);
      head_or_close_.wait(lock, [this] { return closed_ || !waiting_heads_.empty(); });
      if (closed_) return;
      call = std::move(waiting_heads_.front());
      waiting_heads_.pop_front();
    }
    guarded(call, [&] { run_head(call); });
  }
}

void Session::Impl::run_head(const CallPtr& call) {
  const StageInfo& info = head_->info();
  if (call->inputs.size() != info.inputs.size()) {
    throw Error(ErrorCode::invalid_argument, "the model takes " + std::to_string(info.inputs.size()) + " inputs, " +
                                                 std::to_string(call->inputs.size()) + " were given");
  }
  std::string pictures = detail::frame_pictures(*model_, info, call->inputs);
  {
    const std::lock_guard one_at_a_time(head_mutex_);
    const auto turn = Clock::now();
    call->times.wait_s = seconds_between(call->begun, turn);
    call->trace.step("wait", call->begun, turn);
    call->throw_if_expired();
    if (!pictures.empty() && passed_inputs_) {
      pass_on(*call, std::move(pictures));
    } else {
      if (!pictures.empty()) decode_pictures(*call, pictures);
      const auto start = Clock::now();
      auto outputs = head_->run(std::move(call->inputs));
      const auto end = Clock::now();
      call->times.head_s = seconds_between(start, end);
      call->trace.step("head", start, end);
      take(*call, info, std::move(outputs));
    }
  }
  call->throw_if_expired();
  send(call, 0);
}

/// Picture files go to the worker as they are.
void Session::Impl::pass_on(Call& call, std::string codec) const {
  for (const std::size_t input : *passed_inputs_) call.boundary.push_back(std::move(call.inputs[input]));
  call.framed_for = std::move(codec);
}

/// The head needs the tensors.
void Session::Impl::decode_pictures(Call& call, const std::string& codec) const {
  const auto start = Clock::now();
  call.inputs = decode_values(*options_.codec_registry.make(codec), std::move(call.inputs));
  const auto end = Clock::now();
  call.times.input_decode_s = seconds_between(start, end);
  call.trace.step("input decode", start, end);
}

/// Puts what a stage gave where it belongs: results into their slots, the boundary on to the next stage.
void Session::Impl::take(Call& call, const StageInfo& info, std::vector<Value> outputs) const {
  if (outputs.size() != info.outputs.size()) {
    throw Error(ErrorCode::corrupt, "stage " + std::to_string(info.index) + " gave " + std::to_string(outputs.size()) +
                                        " values, expected " + std::to_string(info.outputs.size()));
  }
  for (std::size_t i = info.boundary_count; i < outputs.size(); ++i) {
    detail::own_bytes(outputs[i]);  // Results are the caller's, to write to as well.
    call.slots.at(info.result_slots[i - info.boundary_count]) = std::move(outputs[i]);
  }
  outputs.resize(info.boundary_count);
  call.boundary = std::move(outputs);
}

// ---- The rest.

void Session::Impl::send(const CallPtr& call, std::size_t index) {
  while (index < hops_.size() && hops_[index].empty) ++index;
  if (index == hops_.size()) {
    finish(call, answer(*call));
    return;
  }
  const Hop& hop = hops_[index];
  const NamedCodec& codec = codec_of(*call);
  Message request;
  request.request = {options_.model_name, model_->fingerprint(), hop.key, Operation::run,
                     codec.codec ? codec.name : "raw"};
  request.trace = call->trace.context();
  request.values = std::move(call->boundary);
  if (refinement_ && !call->refined && call->framed_for.empty()) call->again = request.values;
  HopTimes times;
  if (!call->framed_for.empty()) {
    request.request.codec = std::exchange(call->framed_for, {});
  } else if (codec.codec) {
    const auto start = Clock::now();
    EncodedValues encoded = encode_values(*codec.codec, std::move(request.values));
    request.values = std::move(encoded.values);
    call->kept_exact += encoded.kept_exact;
    const auto end = Clock::now();
    times.encode_s = seconds_between(start, end);
    call->trace.step("encode", start, end);
  }
  times.request_bytes = tensor_bytes(request.values);
  call->times.hops.push_back(times);
  call->hop_begun = Clock::now();
  if (codec_tables_) call->sent = request;
  transmit(call, index, std::move(request));
}

void Session::Impl::transmit(const CallPtr& call, std::size_t index, Message request) {
  const auto connection = hops_[index].connection;  // `close` may drop it as soon as the completion has run.
  connection->call(std::move(request), call->deadline, call->stop,
                   [self = shared_from_this(), call, index](CallResult result) {
                     self->guarded(call, [&] { self->receive(call, index, std::move(result)); });
                   });
}

/// The worker has been started anew since, or has taken in tables of others and forgotten these.
void Session::Impl::prepare_again(const CallPtr& call, std::size_t index) {
  const Hop& hop = hops_[index];
  const auto connection = hop.connection;
  connection->call(preparation(hop, call->sent->request.codec), call->deadline, call->stop,
                   [self = shared_from_this(), call, index](CallResult result) {
                     self->guarded(call, [&] {
                       try {
                         reply_in(result);
                       } catch (const Error& error) {
                         throw at_worker(self->hops_[index].endpoint, error);
                       }
                       self->transmit(call, index, *call->sent);
                     });
                   });
}

void Session::Impl::receive(const CallPtr& call, std::size_t index, CallResult result) {
  const auto received = Clock::now();
  const Hop& hop = hops_[index];
  const auto* const message = std::get_if<Message>(&result);
  const bool is_incompatible =
      message != nullptr && message->kind == MessageKind::error && message->error == ErrorCode::incompatible;
  if (is_incompatible && call->sent && call->prepared_again++ < most_prepared_again) return prepare_again(call, index);
  call->sent.reset();
  try {
    Message& reply = reply_in(result);
    note_times(*call, reply);
    call->trace.hop(hop.endpoint, call->hop_begun, received, reply);
    take(*call, hop.info, std::move(reply.values));
  } catch (const Error& error) {
    throw at_worker(hop.endpoint, error);
  }
  if (!asks_again(*call)) return send(call, index + 1);
  call->refined = true;
  call->boundary = std::exchange(call->again, {});
  send(call, index);
}

/// The answer is there, and too close.
bool Session::Impl::asks_again(Call& call) const {
  if (call.again.empty()) return false;
  const auto* const output =
      refinement_->output_slot < call.slots.size() ? call.slots[refinement_->output_slot].get_if<Tensor>() : nullptr;
  if (output == nullptr) {
    throw Error(ErrorCode::invalid_argument, "Refinement::output_slot " + std::to_string(refinement_->output_slot) +
                                                 " of " + std::to_string(call.slots.size()) + " results is no tensor");
  }
  return margin_nat(*output, refinement_->output) < refinement_->min_margin_nat;
}

void Session::Impl::note_times(Call& call, const Message& reply) const {
  const double round_trip_s = seconds_between(call.hop_begun, Clock::now());
  HopTimes& hop = call.times.hops.back();
  double left_s = round_trip_s;  // No step can have taken more.
  const auto take_s = [&](const char* step) {
    const double step_s = reported_s(reply, step, left_s);
    left_s -= step_s;
    return step_s;
  };
  hop.run_s = take_s("run");
  hop.decode_s = take_s("decode");
  hop.queue_s = take_s("queue") + take_s("slice");
  hop.transport_s = left_s;
  hop.reply_bytes = tensor_bytes(reply.values);
}

Answer Session::Impl::answer(Call& call) const {
  Answer result{model_->result_shape().assemble(call.slots), std::move(call.times), call.kept_exact, call.refined};
  StepTimes& times = result.times;
  for (const HopTimes& hop : times.hops) {
    times.encode_s += hop.encode_s;
    times.transport_s += hop.transport_s;
    times.queue_s += hop.queue_s;
    times.decode_s += hop.decode_s;
    times.tail_s += hop.run_s;
  }
  if (!times.hops.empty()) times.boundary_bytes = times.hops.front().request_bytes;
  times.total_s = seconds_between(call.begun, Clock::now());
  return result;
}

/// Runs a step of an inference; what it throws ends the inference.
template <class Step>
void Session::Impl::guarded(const CallPtr& call, Step&& step) {
  try {
    step();
  } catch (const Error& error) {
    finish(call, error);
  } catch (const std::exception& error) {
    finish(call, Error(ErrorCode::internal, error.what()));
  }
}

/// The place is free before the caller knows, so that it can use it at once.
void Session::Impl::finish(const CallPtr& call, std::variant<Answer, Error> outcome) {
  if (call->finished.exchange(true)) return;
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    --places_taken_;
    closed = closed_;
    place_or_close_.notify_one();
  }
  const auto* const failure = std::get_if<Error>(&outcome);
  call->trace.end(call->begun, failure == nullptr ? "answered" : to_string(failure->code()));
  if (auto* answer = std::get_if<Answer>(&outcome)) {
    call->promise.set_value(std::move(*answer));
  } else {
    // Connections that `close` has shut say `unavailable`, but it is the caller who wanted it.
    const auto& error = std::get<Error>(outcome);
    const bool by_close = closed && error.code() == ErrorCode::unavailable;
    call->promise.set_exception(std::make_exception_ptr(by_close ? closed_error() : error));
  }
  const std::lock_guard lock(mutex_);
  if (--unfinished_ == 0) all_finished_.notify_all();
}

void Session::Impl::close() noexcept {
  const std::lock_guard one_at_a_time(closing_);
  std::deque<CallPtr> left;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    left.swap(waiting_heads_);
    place_or_close_.notify_all();
    head_or_close_.notify_all();
  }
  for (const CallPtr& call : left) finish(call, closed_error());
  if (head_thread_.joinable()) head_thread_.join();
  for (const auto& [endpoint, connection] : connections_) {
    if (connection) connection->close();
  }
  std::unique_lock lock(mutex_);
  all_finished_.wait(lock, [this] { return unfinished_ == 0; });
  lock.unlock();
  // Here and not with the last completion, which runs on a thread of the connection.
  for (Hop& hop : hops_) hop.connection.reset();
  connections_.clear();
}

// ---- The face.

std::unique_ptr<Session> Session::open(std::shared_ptr<const Model> model, SessionOptions options) {
  std::unique_ptr<Session> session(new Session(std::make_shared<Impl>(std::move(model), std::move(options))));
  session->impl_->open();
  return session;
}

Session::Session(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() {
  close();
}

Answer Session::run(std::vector<Value> inputs, const RunOptions& options) {
  return impl_->run(std::move(inputs), options);
}
std::future<Answer> Session::submit(std::vector<Value> inputs, const RunOptions& options) {
  return impl_->submit(std::move(inputs), options);
}
std::optional<std::future<Answer>> Session::try_submit(std::vector<Value>& inputs, const RunOptions& options) {
  return impl_->try_submit(inputs, options);
}
const Plan* Session::plan() const noexcept {
  return impl_->plan();
}
std::string Session::explain(std::size_t rows) const {
  return impl_->explain(rows);
}
void Session::close() {
  impl_->close();
}

}  // namespace splitnet
