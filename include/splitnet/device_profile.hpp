// SPDX-License-Identifier: Apache-2.0
/// \file
/// How long each layer of one model takes on one machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "splitnet/layer_graph.hpp"

namespace splitnet {

/// What one layer takes.
struct LayerTime {
  std::string name;             ///< Layer::name.
  double time_s = 0;            ///< In a pass of the whole model; the layers add up to pass_s − stage_overhead_s.
  double spread_s = 0;          ///< Median absolute deviation over the passes measured.
  std::int64_t peak_bytes = 0;  ///< Tensor memory in use while it ran, without parameters; 0: unknown.
  friend bool operator==(const LayerTime&, const LayerTime&) = default;
};

/// How fast this machine encodes and decodes with one codec, in bytes of the tensor that is not encoded.
struct CodecSpeed {
  std::string codec;
  double encode_bytes_per_s = 0;
  double decode_bytes_per_s = 0;
  friend bool operator==(const CodecSpeed&, const CodecSpeed&) = default;
};

/// Measured by DeviceProfiler, or predicted for a machine that can't be measured. A plain value; SI units.
struct DeviceProfile {
  static constexpr int schema_version = 1;

  std::string fingerprint;      ///< Of the model.
  std::string machine;          ///< For people: processor and number of cores.
  std::string framework;        ///< For example "torch 2.13.0".
  std::string inputs;           ///< Of the model as it was measured; see inputs_of.
  int threads = 1;              ///< That one pass used.
  double load = 0;              ///< Runnable tasks per core on this machine just before (load average of one minute).
  double pass_s = 0;            ///< Median of the whole model in one stage.
  double pass_spread_s = 0;     ///< Median absolute deviation of it.
  double stage_overhead_s = 0;  ///< What one more stage costs, whatever is in it.
  double calibration = 1;       ///< pass_s over the sum of the layers as they were measured one by one.
  double relative_error = 0;    ///< Of predictions: the typical error on machines that were measured; 0: measured.
  std::vector<LayerTime> layers;
  std::vector<CodecSpeed> codecs;

  /// Throws invalid_argument naming the field: times are finite and not negative, pass_s, speeds and calibration
  /// above 0, there is at least one layer.
  void validate() const;
  /// Throws incompatible when this is the profile of another model, of another version of it, or of inputs of other
  /// sizes: the fingerprint, then number and names of the layers, then the inputs.
  void check_fits(const LayerGraph& graph) const;
  /// The same with every time multiplied by `factor` (finite, above 0) and speeds divided by it.
  [[nodiscard]] DeviceProfile scaled(double factor) const;
  friend bool operator==(const DeviceProfile&, const DeviceProfile&) = default;
};

/// Dtypes and sizes of the model's inputs in its example run, "f32[1, 3, 224, 224]; i64[1, 128]": layers take as long
/// as their inputs are large.
std::string inputs_of(const LayerGraph& graph);

/// Readable JSON with its schema version.
std::string to_json(const DeviceProfile& profile);
/// Throws corrupt (not JSON, a field that is missing or of another type), incompatible (another schema
/// version), invalid_argument (as validate).
DeviceProfile device_profile_from_json(const std::string& json);

/// As to_json, to a file. Throws unavailable when it can't be written.
void save(const DeviceProfile& profile, const std::string& path);
/// Throws unavailable (no such file) and as device_profile_from_json, naming the file.
DeviceProfile load_device_profile(const std::string& path);

}  // namespace splitnet
