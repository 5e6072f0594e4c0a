// SPDX-License-Identifier: Apache-2.0
#include "placer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <utility>

#include "byte_tensor.hpp"
#include "elapsed.hpp"
#include "inference.hpp"
#include "planning.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

using Clock = std::chrono::steady_clock;

/// Bandwidths and loads of the worker, as multiples of what was measured, whose plans are made ahead of need.
constexpr std::array<double, 7> likely_bandwidths{1, 0.5, 2, 0.2, 5, 0.05, 20};
constexpr std::array<double, 2> likely_loads{1, 4};
/// Passes that tell how long the device takes for the rest.
constexpr int rest_passes = 3;

template <class Step>
double timed_s(Step&& step) {
  const auto start = Clock::now();
  step();
  return seconds_since(start);
}

}  // namespace

void Placer::place_cuts(const std::vector<Cut>& cuts) {
  PlacementSpec spec{{}, options_.codec, options_.codec_tables, options_.refinement};
  for (const Cut& cut : cuts) spec.heads.push_back(model_->layers().resolve(cut));
  if (options_.forward) spec.forward_to.assign(options_.workers.begin() + 1, options_.workers.end());
  const auto placement = make(spec);
  prepare(*placement);
  if (options_.finish_on_device) measure_rest(*placement);
  first_ = placement;
}

void Placer::plan() {
  RemoteWorker& worker = *workers_.front().front();
  TwoTierOptions planning = options_.planning;
  planning.model_name = options_.model_name;
  planning.codec_registry = options_.codec_registry;
  planning.device_options.stage.threads = options_.threads;
  planning.worker.name = "worker " + worker.endpoint();
  problem_ = profile_two_tiers(*model_, *worker.connection(), planning);
  const auto is_legal = [model = model_](const auto& heads) { return !model->refusal(heads); };
  planner_.emplace(problem_, is_legal);
  plan_ = planner_->plan(*options_.objective, options_.constraints);
  if (!plan_->chosen) throw Error(ErrorCode::invalid_argument, "Session::open: " + plan_->infeasible);
  first_choice_ = choice_of(*plan_->chosen);
  first_ = place(first_choice_);
  if (!options_.policy) {
    policy_ = std::make_unique<FixedPolicy>(first_choice_);
    return;
  }
  policy_ = options_.policy(problem_, is_legal, *options_.objective, options_.constraints);
  if (!policy_) throw Error(ErrorCode::invalid_argument, "SessionOptions::policy gave no policy");
  device_only_ = place(device_only_choice());
  cache_ = std::make_unique<PlacementCache>([this](const auto& choice) { return place_later(choice); });
  cache_->put(first_choice_, first_);
  cache_->put(device_only_choice(), device_only_);
  place_likely();
}

SequentialPlanner::Choice Placer::choice_of(const Candidate& candidate) const {
  const Assignment& assignment = candidate.assignment;
  SequentialPlanner::Choice choice = device_only_choice();
  choice.value = value_of(candidate.cost, *options_.objective);
  if (assignment.heads.empty()) return choice;
  choice.head_layers = assignment.heads.front().size();
  const auto found = std::find_if(problem_.codecs.begin(), problem_.codecs.end(), [&](const CodecProfile& codec) {
    return codec.name == assignment.codecs.front() && (!codec.head || *codec.head == assignment.heads.front());
  });
  choice.codec = static_cast<std::size_t>(found - problem_.codecs.begin());
  return choice;
}

PlacementSpec Placer::spec_of(const SequentialPlanner::Choice& choice) const {
  if (choice.head_layers == model_->layers().layers.size()) return {};
  const auto& codecs = problem_.codecs;
  const CodecProfile& codec = codecs.at(choice.codec);
  const bool arrive = std::any_of(codecs.begin(), codecs.end(), std::mem_fn(&CodecProfile::inputs_arrive));
  return {{first_layers(choice.head_layers)}, codec.name, codec.tables, codec.refinement, codec.inputs_arrive,
          arrive && !codec.inputs_arrive};
}

std::shared_ptr<Placement> Placer::make(const PlacementSpec& spec) const {
  return make_placement(*model_, spec, options_.codec_registry, {.threads = options_.threads});
}

/// With what the device is expected to take.
std::shared_ptr<const Placement> Placer::make(const SequentialPlanner::Choice& choice) const {
  const auto placement = make(spec_of(choice));
  const double all_s = planner_->computing_s(device_only_choice().head_layers).head_s;
  placement->head_s = planner_->computing_s(choice.head_layers).head_s;
  for (Hop& hop : placement->hops) {
    hop.rest_s = std::max(0.0, all_s - placement->head_s) + problem_.tiers.front().profile.stage_overhead_s;
  }
  return placement;
}

std::shared_ptr<const Placement> Placer::place(const SequentialPlanner::Choice& choice) const {
  auto placement = make(choice);
  prepare(*placement);
  return placement;
}

/// A worker that is away now can cut its stage when it is asked to run it.
std::shared_ptr<const Placement> Placer::place_later(const SequentialPlanner::Choice& choice) const {
  auto placement = make(choice);
  try {
    prepare(*placement);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unavailable && error.code() != ErrorCode::deadline_exceeded &&
        error.code() != ErrorCode::overloaded) {
      throw;
    }
  }
  return placement;
}

void Placer::place_likely() {
  for (const double load : likely_loads) {
    for (const double factor : likely_bandwidths) {
      SequentialPlanner::Conditions conditions{*problem_.link(0, 1), 1, load};
      conditions.link.up_bytes_per_s *= factor;
      conditions.link.down_bytes_per_s *= factor;
      const auto likely = planner_->choose(*options_.objective, options_.constraints, conditions);
      if (likely) (void)cache_->find(*likely);
    }
  }
}

/// Without a profile of the device: on the model's example inputs. Rests behind the first one are shorter.
void Placer::measure_rest(Placement& placement) const {
  std::vector<Value> values = model_->example_inputs();
  if (values.empty() || placement.hops.empty()) return;
  Progress progress;
  progress.slots.resize(model_->result_slot_count());
  placement.head_s = timed_s([&] { values = placement.head->run(std::move(values)); });
  values.resize(placement.head->info().boundary_count);
  double shortest_s = 0;
  for (int pass = 0; pass < rest_passes; ++pass) {
    progress.hop = 0;
    progress.sent.values = values;
    const double rest_s = timed_s([&] { progress.run_rest(placement, options_.codec_registry); });
    shortest_s = pass == 0 ? rest_s : std::min(shortest_s, rest_s);
    pass_times_.note(shortest_s, rest_s);
  }
  for (Hop& hop : placement.hops) hop.rest_s = shortest_s;
}

Message Placer::preparation(const Placement& placement, const Hop& hop, const std::string& codec) const {
  Message request;
  request.request = {options_.model_name, model_->fingerprint(), hop.key, Operation::prepare, codec, hop.next};
  if (placement.tables) request.values.emplace_back(to_byte_tensor(*placement.tables));
  return request;
}

/// Spare workers slice when they are asked.
void Placer::prepare(const Placement& placement) const {
  const auto deadline = Clock::now() + options_.prepare_timeout;
  for (std::size_t i = 0; i < placement.hops.size(); ++i) {
    const RemoteWorker& worker = *workers_.at(i).front();
    try {
      const auto prepare_for = [&](const std::string& codec) {
        call_and_wait(*worker.connection(), preparation(placement, placement.hops[i], codec), deadline);
      };
      prepare_for(placement.codec.name);
      if (placement.refinement) prepare_for(placement.second_codec.name);
    } catch (const Error& error) {
      throw at_worker(worker.endpoint(), error);
    }
  }
}

}  // namespace splitnet::detail
