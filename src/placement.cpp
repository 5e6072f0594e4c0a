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
  const bool is_last = at + 1 == heads.size();
  const std::size_t layers_after = is_last ? model.layers().layers.size() : heads[at + 1].size();
  Hop hop;
  hop.key = {heads, at + 1};
  std::shared_ptr<const Stage> stage = model.make_stage(hop.key, device);
  hop.info = stage->info();
  hop.empty = heads[at].size() == layers_after && hop.info.outputs.empty();
  hop.rest = is_last ? std::move(stage) : model.make_stage({{heads[at]}, 1}, device);
  return hop;
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
  if (!spec.decodes_pictures && !spec.heads.empty() && spec.heads.front().empty()) {
    placement->passed_inputs = passed_inputs(placement->head->info());
  }
  for (std::size_t i = 0; i < spec.heads.size(); ++i) {
    placement->hops.push_back(make_hop(model, spec.heads, i, device));
  }
  return placement;
}

}  // namespace splitnet::detail
