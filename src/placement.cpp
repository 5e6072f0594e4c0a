// SPDX-License-Identifier: Apache-2.0
#include "placement.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

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

/// The stages of the workers are cut here too: for their boundaries, and so that the device can run them itself.
Hop make_hop(const Model& model, const std::vector<LayerSet>& heads, std::size_t at, const StageOptions& device) {
  const std::size_t layers_after = at + 1 == heads.size() ? model.layers().layers.size() : heads[at + 1].size();
  Hop hop;
  hop.key = {heads, at + 1};
  hop.stages.push_back(model.make_stage(hop.key, device));
  hop.info = hop.stages.front()->info();
  hop.empty = heads[at].size() == layers_after && hop.info.outputs.empty();
  return hop;
}

/// One request for all of them, whose results stand one after the other; the boundary between goes nowhere else.
void append(Hop& hop, Hop later, NextHop next) {
  hop.next.push_back(std::move(next));
  StageInfo& info = hop.info;
  info.outputs.erase(info.outputs.begin(), info.outputs.begin() + static_cast<std::ptrdiff_t>(info.boundary_count));
  // Boundaries come first.
  const auto results = later.info.outputs.begin() + static_cast<std::ptrdiff_t>(later.info.boundary_count);
  info.outputs.insert(info.outputs.begin(), later.info.outputs.begin(), results);
  info.outputs.insert(info.outputs.end(), results, later.info.outputs.end());
  info.boundary_count = later.info.boundary_count;
  info.result_slots.insert(info.result_slots.end(), later.info.result_slots.begin(), later.info.result_slots.end());
  hop.empty = hop.empty && later.empty;
  hop.stages.push_back(std::move(later.stages.front()));
}

void check_inputs_only(const PlacementSpec& spec, const Codec* codec) {
  if (codec == nullptr || !codec->only_inputs()) return;
  if (spec.heads.size() <= 1 && std::all_of(spec.heads.begin(), spec.heads.end(), std::mem_fn(&LayerSet::empty))) {
    return;
  }
  throw Error(ErrorCode::invalid_argument,
              "codec " + spec.codec + " is for the model's inputs, and the cut sends what layers made");
}

}  // namespace

std::shared_ptr<Placement> make_placement(const Model& model, const PlacementSpec& spec, const CodecRegistry& codecs,
                                          const StageOptions& device) {
  auto placement = std::make_shared<Placement>();
  const auto named = [&](const std::string& name) { return NamedCodec{name, codecs.make(name, spec.tables)}; };
  placement->tables = spec.tables;
  placement->refinement = spec.refinement;
  if (spec.refinement) placement->second_codec = named(spec.refinement->second_codec);
  if (!spec.inputs_arrive) placement->codec = named(spec.refinement ? spec.refinement->first_codec : spec.codec);
  check_inputs_only(spec, placement->codec.codec.get());
  placement->head = model.make_stage({spec.heads, 0}, device);
  placement->head_is_empty = !spec.heads.empty() && spec.heads.front().empty();
  if (!spec.decodes_pictures && placement->head_is_empty) {
    placement->passed_inputs = passed_inputs(placement->head->info());
  }
  for (std::size_t i = 0; i < spec.heads.size(); ++i) {
    Hop hop = make_hop(model, spec.heads, i, device);
    if (i == 0 || spec.forward_to.empty()) {
      placement->hops.push_back(std::move(hop));
    } else {
      append(placement->hops.front(), std::move(hop), {spec.forward_to.at(i - 1), placement->codec.name});
    }
  }
  return placement;
}

}  // namespace splitnet::detail
