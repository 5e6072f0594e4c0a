// SPDX-License-Identifier: Apache-2.0
#include "splitnet/tier_profiler.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "byte_tensor.hpp"
#include "splitnet/error.hpp"

namespace splitnet {
namespace {

bool knows(const DeviceProfile& profile, const std::string& codec) {
  return codec == "raw" || std::any_of(profile.codecs.begin(), profile.codecs.end(),
                                       [&](const CodecSpeed& speed) { return speed.codec == codec; });
}

bool is_given(const DeviceProfile& profile) {
  return !profile.layers.empty();
}

/// A codec of a profile, and for which share of inferences it is used.
struct Part {
  std::string codec;
  double share = 1;
};
std::vector<Part> parts_of(const CodecProfile& codec) {
  if (!codec.refinement) return {{codec.name}};
  return {{codec.refinement->first_codec}, {codec.refinement->second_codec, codec.refined_share}};
}

/// Speeds of the codec as a whole; `measure` gives those of one part.
template <class Measure>
CodecSpeed speed_of_parts(const CodecProfile& codec, Measure&& measure) {
  double encode_s = 0;  // For each byte.
  double decode_s = 0;
  for (const Part& part : parts_of(codec)) {
    if (part.codec == "raw") continue;
    const CodecSpeed speed = measure(part.codec);
    encode_s += part.share / speed.encode_bytes_per_s;
    decode_s += part.share / speed.decode_bytes_per_s;
  }
  return {codec.name, 1 / encode_s, 1 / decode_s};
}

/// Before minutes are spent on measuring.
void check_given(const Model& model, const TwoTierOptions& options) {
  for (const Tier* tier : {&options.device, &options.worker}) {
    if (!is_given(tier->profile)) continue;
    tier->profile.validate();
    tier->profile.check_fits(model.layers());
  }
  const int threads = options.device_options.stage.threads;
  if (is_given(options.device.profile) && options.device.profile.threads != threads) {
    throw Error(ErrorCode::incompatible, "the device's profile is for " +
                                             std::to_string(options.device.profile.threads) +
                                             " threads, the stages will have " + std::to_string(threads));
  }
  if (options.link) options.link->validate();
  for (const CodecProfile& codec : options.codecs) {
    for (const Part& part : parts_of(codec)) {
      const auto made = options.codec_registry.make(part.codec, codec.tables);
      if (made && made->only_inputs() && !codec.only_inputs) {
        throw Error(ErrorCode::invalid_argument,
                    "codec " + part.codec + " is for inputs only, its CodecProfile::only_inputs does not say so");
      }
    }
  }
}

DeviceProfile device_profile_of(const Model& model, const TwoTierOptions& options) {
  auto profile = is_given(options.device.profile)
                     ? options.device.profile
                     : profile_device(model, model.example_inputs(), options.device_options);
  for (const CodecProfile& codec : options.codecs) {
    if (knows(profile, codec.name)) continue;
    profile.codecs.push_back(speed_of_parts(codec, [&](const std::string& part) {
      const auto made = options.codec_registry.make(part, codec.tables);
      if (!codec.head) return measure_codec_speed(part, *made, model.layers());
      return measure_codec_speed(part, *made,
                                 example_boundary(model, {{*codec.head}, 1}, options.device_options.stage));
    }));
  }
  return profile;
}

DeviceProfile worker_profile_of(Connection& connection, const Model& model, const TwoTierOptions& options) {
  const auto ask = [&](const CodecProfile& codec, const std::string& part) {
    WorkerProfileRequest request{.model_name = options.model_name, .codec = part, .codec_tables = codec.tables};
    request.timeout = options.worker_timeout;
    if (codec.head) request.stage = {{*codec.head}, 1};
    return request_worker_profile(connection, model, request).profile;
  };
  auto profile = is_given(options.worker.profile) ? options.worker.profile : ask(CodecProfile{}, "raw");
  for (const CodecProfile& codec : options.codecs) {
    if (knows(profile, codec.name)) continue;
    if (codec.name == "raw") continue;
    profile.codecs.push_back(speed_of_parts(codec, [&](const std::string& part) {
      const auto found = ask(codec, part).codecs;
      if (found.empty())
        throw Error(ErrorCode::corrupt, "the worker's profile does not say how fast codec " + part + " is");
      return found.back();
    }));
  }
  return profile;
}

/// The profile as the worker sent it. Throws corrupt.
DeviceProfile profile_in(const Value& value) {
  try {
    return device_profile_from_json(std::string(detail::bytes_in(value, "a profile", ErrorCode::corrupt)));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument) throw;
    throw Error(ErrorCode::corrupt, error.what());
  }
}

/// The same error, naming the worker it has to do with.
template <class Ask>
auto at_worker(const std::string& name, Ask&& ask) {
  try {
    return ask();
  } catch (const Error& error) {
    const std::string_view what = error.what();
    if (what.find(name) != std::string_view::npos) throw;
    throw Error(error.code(), name + ": " + std::string(what));
  }
}

}  // namespace

WorkerProfile request_worker_profile(Connection& connection, const Model& model, const WorkerProfileRequest& request) {
  Message message;
  message.request = {request.model_name, model.fingerprint(), request.stage, Operation::profile, request.codec};
  if (request.codec_tables) message.values.emplace_back(detail::to_byte_tensor(*request.codec_tables));
  const Message reply =
      call_and_wait(connection, std::move(message), std::chrono::steady_clock::now() + request.timeout);
  const auto* bytes = reply.values.size() == 2 ? reply.values[1].get_if<std::int64_t>() : nullptr;
  if (bytes == nullptr || *bytes < 0) {
    throw Error(ErrorCode::corrupt, "the worker's answer has " + std::to_string(reply.values.size()) +
                                        " values, expected its profile and a number of bytes");
  }
  WorkerProfile profile{profile_in(reply.values[0]), *bytes};
  profile.profile.check_fits(model.layers());
  return profile;
}

PlanningProblem profile_two_tiers(const Model& model, Connection& connection, const TwoTierOptions& options) {
  check_given(model, options);
  Tier device = options.device;
  Tier worker = options.worker;
  worker.profile = at_worker(worker.name, [&] { return worker_profile_of(connection, model, options); });
  const auto link = options.link ? *options.link
                                 : at_worker(worker.name, [&] { return probe_link(connection, options.link_options); });
  device.profile = device_profile_of(model, options);
  auto problem = PlanningProblem::two_tier(model.layers(), std::move(device), std::move(worker), link);
  problem.codecs = options.codecs;
  problem.leakages = options.leakages;
  problem.power = options.power;
  problem.validate();
  return problem;
}

}  // namespace splitnet
