// SPDX-License-Identifier: Apache-2.0
#include "splitnet/device_profile.hpp"

#include <string>

#include "check_number.hpp"
#include "json_file.hpp"
#include "profile_json.hpp"
#include "splitnet/error.hpp"

namespace splitnet {

namespace {

void check_not_negative(double found, const std::string& name) {
  detail::check_not_negative("device profile: " + name, found);
}
void check_positive(double found, const std::string& name) {
  detail::check_positive("device profile: " + name, found);
}

}  // namespace

void DeviceProfile::validate() const {
  check_positive(pass_s, "pass_s");
  check_not_negative(pass_spread_s, "pass_spread_s");
  check_not_negative(stage_overhead_s, "stage_overhead_s");
  check_not_negative(load, "load");
  check_not_negative(relative_error, "relative_error");
  check_positive(calibration, "calibration");
  check_not_negative(threads, "threads");
  if (layers.empty()) throw Error(ErrorCode::invalid_argument, "device profile: no layers, expected at least one");
  for (const LayerTime& layer : layers) {
    check_not_negative(layer.time_s, "time_s of layer '" + layer.name + "'");
    check_not_negative(layer.spread_s, "spread_s of layer '" + layer.name + "'");
    check_not_negative(static_cast<double>(layer.peak_bytes), "peak_bytes of layer '" + layer.name + "'");
  }
  for (const CodecSpeed& speed : codecs) {
    check_positive(speed.encode_bytes_per_s, "encode_bytes_per_s of codec '" + speed.codec + "'");
    check_positive(speed.decode_bytes_per_s, "decode_bytes_per_s of codec '" + speed.codec + "'");
  }
}

void DeviceProfile::check_fits(const LayerGraph& graph) const {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::incompatible, "device profile of another model: " + what);
  };
  if (fingerprint != graph.fingerprint) {
    refuse("its fingerprint is '" + fingerprint + "', the model's '" + graph.fingerprint + "'");
  }
  if (layers.size() != graph.layers.size()) {
    refuse(std::to_string(layers.size()) + " layers, the model has " + std::to_string(graph.layers.size()));
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].name == graph.layers[i].name) continue;
    refuse("layer " + std::to_string(i) + " is '" + layers[i].name + "', in the model '" + graph.layers[i].name + "'");
  }
  if (inputs == inputs_of(graph)) return;
  throw Error(ErrorCode::incompatible, "device profile for inputs " + inputs + ", the model has " + inputs_of(graph));
}

std::string inputs_of(const LayerGraph& graph) {
  std::string text;
  for (const GraphValue& value : graph.values) {
    if (value.producer != GraphValue::from_input) continue;
    if (!text.empty()) text += "; ";
    text += value.dtype.empty() ? value.type : value.dtype + "[";
    if (value.dtype.empty()) continue;
    for (std::size_t d = 0; d < value.sizes.size(); ++d) text += (d > 0 ? ", " : "") + std::to_string(value.sizes[d]);
    text += "]";
  }
  return text;
}

DeviceProfile DeviceProfile::scaled(double factor) const {
  check_positive(factor, "the factor to scale by");
  DeviceProfile result = *this;
  result.pass_s *= factor;
  result.pass_spread_s *= factor;
  result.stage_overhead_s *= factor;
  for (LayerTime& layer : result.layers) {
    layer.time_s *= factor;
    layer.spread_s *= factor;
  }
  for (CodecSpeed& speed : result.codecs) {
    speed.encode_bytes_per_s /= factor;
    speed.decode_bytes_per_s /= factor;
  }
  return result;
}

std::string to_json(const DeviceProfile& profile) {
  profile.validate();
  return detail::write_json(profile);
}

DeviceProfile device_profile_from_json(const std::string& json) {
  auto profile = detail::read_json<DeviceProfile>(json, "device profile");
  profile.validate();
  return profile;
}

void save(const DeviceProfile& profile, const std::string& path) {
  detail::save_text(to_json(profile), "device profile", path);
}

DeviceProfile load_device_profile(const std::string& path) {
  return detail::load_json("device profile", path, device_profile_from_json);
}

}  // namespace splitnet
