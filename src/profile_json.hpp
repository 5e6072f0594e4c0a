// SPDX-License-Identifier: Apache-2.0
// Which fields of the profiles are written to files, and how they are called there. Private.
#pragma once

#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>

#include "json_archive.hpp"
#include "splitnet/device_profile.hpp"
#include "splitnet/link_profile.hpp"

namespace splitnet {

template <class Archive>
void serialize(Archive& archive, LayerTime& layer) {
  detail::json_field(archive, "name", layer.name);
  detail::json_field(archive, "time_s", layer.time_s);
  detail::json_field(archive, "spread_s", layer.spread_s);
  detail::json_field(archive, "peak_bytes", layer.peak_bytes);
}

template <class Archive>
void serialize(Archive& archive, CodecSpeed& speed) {
  detail::json_field(archive, "codec", speed.codec);
  detail::json_field(archive, "encode_bytes_per_s", speed.encode_bytes_per_s);
  detail::json_field(archive, "decode_bytes_per_s", speed.decode_bytes_per_s);
}

template <class Archive>
void serialize(Archive& archive, DeviceProfile& profile) {
  detail::json_field(archive, "fingerprint", profile.fingerprint);
  detail::json_field(archive, "machine", profile.machine);
  detail::json_field(archive, "framework", profile.framework);
  detail::json_field(archive, "inputs", profile.inputs);
  detail::json_field(archive, "threads", profile.threads);
  detail::json_field(archive, "load", profile.load);
  detail::json_field(archive, "pass_s", profile.pass_s);
  detail::json_field(archive, "pass_spread_s", profile.pass_spread_s);
  detail::json_field(archive, "stage_overhead_s", profile.stage_overhead_s);
  detail::json_field(archive, "calibration", profile.calibration);
  detail::json_field(archive, "relative_error", profile.relative_error);
  detail::json_field(archive, "layers", profile.layers);
  detail::json_field(archive, "codecs", profile.codecs);
}

template <class Archive>
void serialize(Archive& archive, LinkProfile& profile) {
  detail::json_field(archive, "rtt_s", profile.rtt_s);
  detail::json_field(archive, "jitter_s", profile.jitter_s);
  detail::json_field(archive, "overhead_s", profile.overhead_s);
  detail::json_field(archive, "up_bytes_per_s", profile.up_bytes_per_s);
  detail::json_field(archive, "down_bytes_per_s", profile.down_bytes_per_s);
}

}  // namespace splitnet
