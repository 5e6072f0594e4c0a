// SPDX-License-Identifier: Apache-2.0
// A plan made ready to run: the stages of the device, and what its workers have to know. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/message.hpp"
#include "splitnet/model.hpp"
#include "splitnet/refinement.hpp"

namespace splitnet::detail {

/// What is to be made ready.
struct PlacementSpec {
  std::vector<LayerSet> heads;  ///< One for each hop.
  std::string codec = "raw";
  CodecTables tables = {};
  std::optional<Refinement> refinement = {};  ///< In place of `codec`.
  bool inputs_arrive = false;                 ///< Inputs come in the codec already: tensors travel raw.
  bool decodes_pictures = false;              ///< The device decodes what comes encoded, in any case.
  /// The endpoints of the hops behind the first one, when boundaries go to them directly; else they pass here.
  std::vector<std::string> forward_to = {};
};

/// A codec as requests name it.
struct NamedCodec {
  std::string name = "raw";
  std::shared_ptr<const Codec> codec = {};  ///< None for raw.
};

/// What one request asks for: a stage, and those that the worker forwards to.
struct Hop {
  StageKey key;
  std::vector<NextHop> next = {};
  /// What the answer holds: of several stages the results of all.
  StageInfo info = {};
  bool empty = false;  ///< Nothing to compute and nothing to give: it is not called.
  /// The same stages for the device.
  std::vector<std::shared_ptr<const Stage>> stages = {};
  double rest_s = 0;  ///< What the device is expected to take for it and all behind it; 0: not known.
};

/// Whoever made it fills in what is expected; then it stays as it is, safe to use from several threads.
struct Placement {
  std::shared_ptr<const Stage> head;
  bool head_is_empty = false;  ///< It has no layers, so the device need not be free for it.
  /// For each value of the first boundary the input that it is, when a worker gets inputs and nothing else.
  std::optional<std::vector<std::size_t>> passed_inputs;
  std::vector<Hop> hops;
  NamedCodec codec;
  NamedCodec second_codec;  ///< With a refinement.
  std::optional<Refinement> refinement;
  CodecTables tables;
  double head_s = 0;  ///< What the device is expected to take for the head; 0: not known.

  [[nodiscard]] const NamedCodec& codec_of(bool refined) const { return refined ? second_codec : codec; }
};

/// Throws invalid_argument (an unknown codec, tables of another one; a codec for inputs at another cut; a set of layers
/// that is not closed) and unsupported_model (a refused cut).
std::shared_ptr<Placement> make_placement(const Model& model, const PlacementSpec& spec, const CodecRegistry& codecs,
                                          const StageOptions& device);

}  // namespace splitnet::detail
