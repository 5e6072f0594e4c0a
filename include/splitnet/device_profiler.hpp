// SPDX-License-Identifier: Apache-2.0
/// \file
/// Measures how long a model's layers take on this machine.
#pragma once

#include <chrono>
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

/// The defaults cost 20 passes of the whole model.
struct ProfileOptions {
  StageOptions stage = {};  ///< As the stages will run later.
  std::size_t warm_up_passes = 2;
  std::size_t layer_passes = 7;  ///< At least 2: the first warms up and counts memory.
  std::size_t whole_passes = 6;  ///< At least 1.
  std::size_t stage_passes = 4;  ///< Of the model in several stages, one after the other. At least 1.
  /// The machine idles so long before each whole pass and each stage, as it does between requests and while the other
  /// side works: caches lose what a pass needs, which for short models costs a third more time. 0: without a break, as
  /// a pipeline that is full.
  std::chrono::nanoseconds pause = std::chrono::milliseconds(30);
  /// Called every now and then with passes done and passes altogether, on the calling thread; what it throws ends the
  /// profiling. Empty: silence.
  std::function<void(std::size_t done, std::size_t total)> progress = {};

  /// Throws invalid_argument naming the field.
  void validate() const;
};

/// Times the model as one stage (median pass_s), cut into up to four stages of equal length, and its layers by marks
/// inside of whole passes. What every further stage adds is stage_overhead_s, at least what one without layers takes.
/// The layers are scaled so that they add up to pass_s − stage_overhead_s: a sum of parts measured one by one would
/// leave out what they do to each other's caches. For the shares of layers and stages the fastest pass counts, because
/// what else goes on in the machine only adds. Does not change `inputs`. Meant for an otherwise idle machine: `load`
/// says what it was. Throws as ProfileOptions::validate and Stage::run; invalid_argument without inputs.
DeviceProfile profile_device(const Model& model, const std::vector<Value>& inputs, const ProfileOptions& options = {});

/// How fast this machine is with a codec, on an f32 tensor as it crosses cuts of this model: of those that the codec
/// takes the one nearest to 256 KiB. Throws invalid_argument when it takes none.
CodecSpeed measure_codec_speed(const std::string& name, const Codec& codec, const LayerGraph& graph);
/// The same with these values. Throws invalid_argument when the codec takes none of them.
CodecSpeed measure_codec_speed(const std::string& name, const Codec& codec, const std::vector<Value>& values);

/// What the stage gets when the stages before it run on the model's example inputs. Throws as Model::make_stage and
/// Stage::run, invalid_argument for a model without example inputs.
std::vector<Value> example_boundary(const Model& model, const StageKey& key, const StageOptions& options = {});

/// The memory in bytes that a stage takes: its parameters, and the most tensor memory in use by one of its layers.
std::int64_t stage_memory_bytes(const DeviceProfile& profile, const StageInfo& info, const StageKey& key);

/// λ: how much slower than its profile the model runs here now, from the median of `passes` whole passes. Throws
/// incompatible (a profile of another model), invalid_argument (no passes), and as Stage::run.
double measure_load_factor(const Model& model, const std::vector<Value>& inputs, const DeviceProfile& profile,
                           std::size_t passes = 3, const StageOptions& options = {},
                           std::chrono::nanoseconds pause = ProfileOptions{}.pause);

}  // namespace splitnet
