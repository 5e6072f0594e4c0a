// SPDX-License-Identifier: Apache-2.0
#include "splitnet/model.hpp"

#include <utility>

#include "splitnet/error.hpp"

namespace splitnet {
namespace {

void check_output_count(const StageInfo& info, std::size_t found) {
  const auto expected = info.outputs.size();
  if (found == expected && info.boundary_count + info.result_slots.size() == expected) return;
  throw Error(ErrorCode::internal, "stage " + std::to_string(info.index) + " gave " + std::to_string(found) +
                                       " values, expected " + std::to_string(info.boundary_count) +
                                       " of the boundary and " + std::to_string(info.result_slots.size()) + " results");
}

/// Moves the results among `outputs` into their slots, so that the boundary is left.
void take_results(const StageInfo& info, std::vector<Value>& outputs, std::vector<Value>& slots) {
  check_output_count(info, outputs.size());
  for (std::size_t i = 0; i < info.result_slots.size(); ++i) {
    const auto slot = info.result_slots[i];
    if (slot >= slots.size()) {
      throw Error(ErrorCode::internal, "stage " + std::to_string(info.index) + " fills result slot " +
                                           std::to_string(slot) + ", but the result has " +
                                           std::to_string(slots.size()));
    }
    slots[slot] = std::move(outputs[info.boundary_count + i]);
  }
  outputs.resize(info.boundary_count);
}

}  // namespace

std::string_view to_string(RefusalReason reason) noexcept {
  switch (reason) {
    case RefusalReason::value_cannot_travel: return "value_cannot_travel";
    case RefusalReason::shared_container_written: return "shared_container_written";
    case RefusalReason::random_numbers_after_cut: return "random_numbers_after_cut";
  }
  return "unknown";
}

std::vector<std::unique_ptr<Stage>> Model::split(const std::vector<Cut>& cuts, const StageOptions& options) const {
  StageKey key;
  for (const auto& cut : cuts) key.cuts.push_back(layers().resolve(cut));
  std::vector<std::unique_ptr<Stage>> stages;
  for (key.index = 0; key.index <= cuts.size(); ++key.index) {
    stages.push_back(make_stage(key, options));
  }
  return stages;
}

Value run_stages(const Model& model, const std::vector<std::unique_ptr<Stage>>& stages, std::vector<Value> inputs) {
  std::vector<Value> slots(model.result_slot_count());
  for (const auto& stage : stages) {
    auto outputs = stage->run(std::move(inputs));
    take_results(stage->info(), outputs, slots);
    inputs = std::move(outputs);
  }
  return model.result_shape().assemble(slots);
}

}  // namespace splitnet
