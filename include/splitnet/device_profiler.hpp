// SPDX-License-Identifier: Apache-2.0
/// \file
/// Measures how long a model's layers take on this machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/model.hpp"
#include "splitnet/value.hpp"

namespace splitnet {

/// The defaults cost 18 passes of the whole model.
struct ProfileOptions {
  StageOptions stage = {};  ///< As the stages will run later.
  std::size_t warm_up_passes = 2;
  std::size_t whole_passes = 7;  ///< At least 1.
  std::size_t layer_passes = 8;  ///< At least 2: the first warms up and counts memory.
  /// Called after each phase with passes done and passes altogether; on the calling thread. Empty: silence.
  std::function<void(std::size_t done, std::size_t total)> progress = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Times the model as one stage (median pass_s), and its layers by marks inside whole passes (median for each),
/// and scales the layers so that they add up to pass_s − stage_overhead_s: a sum of parts measured one by one
/// would leave out what they do to each other's caches. The overhead of a stage is that of one without layers.
/// Does not change `inputs`. Meant for an otherwise idle machine: `load` says what it was.
/// Throws as ProfileOptions::validate and Stage::run.
DeviceProfile profile_device(const Model& model, const std::vector<Value>& inputs, const ProfileOptions& options = {});

/// How fast this machine is with a codec, on an f32 tensor as it crosses cuts of this model: of those that the codec
/// takes the one nearest to 256 KiB. Throws invalid_argument when it takes none.
CodecSpeed measure_codec_speed(const std::string& name, const Codec& codec, const LayerGraph& graph);

/// The memory in bytes that a stage takes: its parameters, and the most tensor memory in use by one of its layers.
std::int64_t stage_memory_bytes(const DeviceProfile& profile, const StageInfo& info, const StageKey& key);

/// λ: how much slower than its profile the model runs here now, from the median of `passes` whole passes. Throws
/// incompatible (a profile of another model), invalid_argument (no passes), and as Stage::run.
double measure_load_factor(const Model& model, const std::vector<Value>& inputs, const DeviceProfile& profile,
                           std::size_t passes = 3, const StageOptions& options = {});

}  // namespace splitnet
