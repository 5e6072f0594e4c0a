// SPDX-License-Identifier: Apache-2.0
#include "inference.hpp"

#include <utility>

#include "elapsed.hpp"
#include "own_bytes.hpp"

namespace splitnet::detail {
using Clock = std::chrono::steady_clock;

bool is_final(ErrorCode code) noexcept {
  return code == ErrorCode::invalid_argument || code == ErrorCode::unsupported_model || code == ErrorCode::cancelled ||
         code == ErrorCode::deadline_exceeded;
}

void Progress::take(const StageInfo& info, std::vector<Value> outputs) {
  if (outputs.size() != info.outputs.size()) {
    throw Error(ErrorCode::corrupt, "stage " + std::to_string(info.index) + " gave " + std::to_string(outputs.size()) +
                                        " values, expected " + std::to_string(info.outputs.size()));
  }
  for (std::size_t i = info.boundary_count; i < outputs.size(); ++i) {
    own_bytes(outputs[i]);  // Results are the caller's, to write to as well.
    slots.at(info.result_slots[i - info.boundary_count]) = std::move(outputs[i]);
  }
  outputs.resize(info.boundary_count);
  boundary = std::move(outputs);
}

bool Progress::go_to_next_hop(const Placement& placement) {
  while (hop < placement.hops.size() && placement.hops[hop].empty) ++hop;
  return hop < placement.hops.size();
}

void Progress::encode_boundary(const Placement& placement, const InferenceTrace& trace) {
  const NamedCodec& codec = placement.codec_of(refined);
  HopTimes hop_times;
  sent.values = std::move(boundary);
  sent.request.codec = codec.codec ? codec.name : "raw";
  if (placement.refinement && !refined && framed_for.empty()) again = sent.values;
  if (!framed_for.empty()) {
    sent.request.codec = std::exchange(framed_for, {});
  } else if (codec.codec) {
    const auto start = Clock::now();
    EncodedValues encoded = encode_values(*codec.codec, std::move(sent.values));
    sent.values = std::move(encoded.values);
    kept_exact += encoded.kept_exact;
    const auto end = Clock::now();
    hop_times.encode_s = seconds_between(start, end);
    trace.step("encode", start, end);
  }
  hop_times.request_bytes = static_cast<std::int64_t>(packed_bytes(sent.values));
  times.hops.push_back(hop_times);
}

void Progress::run_rest(const Placement& placement, const CodecRegistry& codecs) {
  const NamedCodec& planned = placement.codec_of(refined);
  boundary = std::move(sent.values);
  if (const std::string& codec = sent.request.codec; codec != "raw") {
    boundary = decode_values(codec == planned.name ? *planned.codec : *codecs.make(codec), std::move(boundary));
  }
  bool is_first = true;
  for (; hop < placement.hops.size(); ++hop) {
    for (const auto& stage : placement.hops[hop].stages) {
      if (!std::exchange(is_first, false) && planned.codec && !boundary.empty()) {
        EncodedValues encoded = encode_values(*planned.codec, std::move(boundary));
        kept_exact += encoded.kept_exact;
        boundary = decode_values(*planned.codec, std::move(encoded.values));
      }
      take(stage->info(), stage->run(std::move(boundary)));
    }
  }
}

bool Progress::begins_again(const Placement& placement) {
  if (again.empty()) return false;
  const Refinement& refinement = *placement.refinement;
  const std::size_t slot = refinement.output_slot;
  const auto* const output = slot < slots.size() ? slots[slot].get_if<Tensor>() : nullptr;
  if (output == nullptr) {
    throw Error(ErrorCode::invalid_argument, "Refinement::output_slot " + std::to_string(slot) + " of " +
                                                 std::to_string(slots.size()) + " results is no tensor");
  }
  if (margin_nat(*output, refinement.output) >= refinement.min_margin_nat) return false;
  refined = true;
  hop = 0;
  boundary = std::exchange(again, {});
  return true;
}

void Inference::throw_if_expired() const {
  if (stop.stop_requested()) throw Error(ErrorCode::cancelled, "the inference was cancelled");
  if (deadline && *deadline <= Clock::now()) {
    throw Error(ErrorCode::deadline_exceeded, "the deadline of the inference passed");
  }
}

Answer Inference::answer(const Model& model, Progress from) const {
  Answer result;
  result.output = model.result_shape().assemble(from.slots);
  result.times = std::move(from.times);
  result.kept_exact = from.kept_exact;
  result.refined = from.refined;
  result.decision = decision;
  result.hedged = has_begun_here;
  result.requests = requests;
  StepTimes& times = result.times;
  for (const HopTimes& hop : times.hops) {
    times.encode_s += hop.encode_s;
    times.transport_s += hop.transport_s;
    times.queue_s += hop.queue_s;
    times.decode_s += hop.decode_s;
    times.tail_s += hop.run_s;
  }
  if (!times.hops.empty()) times.boundary_bytes = times.hops.front().request_bytes;
  if (times.rest_s == 0 && worker) result.answered_by = worker->endpoint();
  times.total_s = seconds_since(begun);
  return result;
}

}  // namespace splitnet::detail
