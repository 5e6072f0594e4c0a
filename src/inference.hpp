// SPDX-License-Identifier: Apache-2.0
// One inference of a session on its way. Private.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "agenda.hpp"
#include "inference_trace.hpp"
#include "placement.hpp"
#include "remote_worker.hpp"
#include "splitnet/error.hpp"
#include "splitnet/message.hpp"
#include "splitnet/session.hpp"

namespace splitnet::detail {

/// How far it has come. Copies share tensor bytes, so that the device can go on from here while a worker does too.
struct Progress {
  std::size_t hop = 0;
  std::vector<Value> boundary;  ///< In front of this hop, as the stage before gave it.
  std::string framed_for;       ///< The codec that the boundary is encoded with already; empty: it is not.
  Message sent;                 ///< The request of this hop.
  std::vector<Value> again;     ///< The boundary once more, while its answer may be too close.
  std::vector<Value> slots;
  std::size_t kept_exact = 0;
  bool refined = false;
  StepTimes times;

  /// Puts what a stage gave where it belongs: results into their slots, the boundary in front of the next stage. Throws
  /// corrupt: another number of values.
  void take(const StageInfo& info, std::vector<Value> outputs);
  /// Past stages that have nothing to do. False: there is none behind it.
  bool go_to_next_hop(const Placement& placement);
  /// Encodes the boundary into `sent.values`, for the codec in `sent.request.codec`.
  void encode_boundary(const Placement& placement, const InferenceTrace& trace);
  /// Runs this hop's stages and all behind them here, as workers would have, from what they would have got.
  void run_rest(const Placement& placement, const CodecRegistry& codecs);
  /// The answer is there, and the refinement wants another one: all is set for its request. Throws invalid_argument:
  /// the output is none that has a margin.
  bool begins_again(const Placement& placement);
};

/// What would go wrong anywhere, or is over: no other worker is asked.
bool is_final(ErrorCode code) noexcept;

struct Inference {
  // Set before anybody else sees it.
  Session::Done done;
  Deadline deadline;
  std::stop_token stop;
  InferenceTrace trace;
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();

  // Of whoever runs the head, until it is done; then nobody writes.
  std::vector<Value> inputs;
  std::shared_ptr<const Placement> placement;
  Decision decision;

  std::mutex mutex;  // Guards what follows.
  Progress progress;
  std::uint64_t attempt = 0;  ///< The latest request; answers to others are late. 0: none yet.
  std::size_t requests = 0;
  std::size_t retries = 0;               ///< Of those: after one that failed.
  std::size_t waits = 0;                 ///< Times that no worker could be asked.
  int prepared_again = 0;                ///< Times that a worker had no tables.
  std::shared_ptr<RemoteWorker> worker;  ///< Who was asked last.
  std::chrono::steady_clock::time_point asked_at;
  std::optional<Agenda::AlarmId> hedge;  ///< When the device begins.
  bool is_complete = false;              ///< Its answer is on the way to the caller, and `progress` is no more.
  bool is_asked = false;                 ///< It has not answered.
  bool is_finished_here = false;         ///< The device has the rest, in its queue or under way.
  bool has_begun_here = false;           ///< The device has begun with it.
  bool is_hedge_for_deadline = false;    ///< It began, or will, since it can wait no longer.
  bool is_silence_noted = false;         ///< The worker is known not to have answered in time.

  std::atomic<bool> finished = false;
  /// Ends requests that nobody waits for.
  std::stop_source end_requests;
  std::optional<std::stop_callback<std::function<void()>>> when_stopped;

  /// Throws cancelled and deadline_exceeded.
  void throw_if_expired() const;
  /// Under the lock. What the stages gave becomes the output; `from` is this inference's progress or a copy of it.
  Answer answer(const Model& model, Progress from) const;
};
using InferencePtr = std::shared_ptr<Inference>;

}  // namespace splitnet::detail
