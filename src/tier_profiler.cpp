// SPDX-License-Identifier: Apache-2.0
#include "splitnet/tier_profiler.hpp"

#include <algorithm>
#include <utility>

#include "splitnet/error.hpp"

namespace splitnet {
namespace {

bool knows(const DeviceProfile& profile, const std::string& codec) {
  return codec == "raw" || std::any_of(profile.codecs.begin(), profile.codecs.end(),
                                       [&](const CodecSpeed& speed) { return speed.codec == codec; });
}

DeviceProfile device_profile_of(const Model& model, const TwoTierOptions& options) {
  auto profile =
      options.device_profile ? *options.device_profile : profile_device(model, model.example_inputs(), options.device);
  for (const CodecProfile& codec : options.codecs) {
    if (knows(profile, codec.name)) continue;
    profile.codecs.push_back(measure_codec_speed(codec.name, *options.codec_registry.make(codec.name), model.layers()));
  }
  return profile;
}

DeviceProfile worker_profile_of(Connection& connection, const Model& model, const TwoTierOptions& options) {
  std::optional<DeviceProfile> profile = options.worker_profile;
  const auto ask = [&](const std::string& codec) {
    return request_worker_profile(connection, model,
                                  {.model_name = options.model_name, .codec = codec, .timeout = options.worker_timeout})
        .profile;
  };
  if (!profile) profile = ask("raw");
  for (const CodecProfile& codec : options.codecs) {
    if (knows(*profile, codec.name)) continue;
    for (CodecSpeed& speed : ask(codec.name).codecs) profile->codecs.push_back(std::move(speed));
  }
  return *std::move(profile);
}

}  // namespace

WorkerProfile request_worker_profile(Connection& connection, const Model& model, const WorkerProfileRequest& request) {
  Message message;
  message.request = {request.model_name, model.fingerprint(), request.stage, Operation::profile, request.codec};
  const Message reply =
      call_and_wait(connection, std::move(message), std::chrono::steady_clock::now() + request.timeout);
  const auto* json = reply.values.size() == 2 ? reply.values[0].get_if<std::string>() : nullptr;
  const auto* bytes = json == nullptr ? nullptr : reply.values[1].get_if<std::int64_t>();
  if (bytes == nullptr) {
    throw Error(ErrorCode::corrupt, "the worker's answer has " + std::to_string(reply.values.size()) +
                                        " values, expected its profile and a number of bytes");
  }
  WorkerProfile profile{device_profile_from_json(*json), *bytes};
  profile.profile.check_fits(model.layers());
  return profile;
}

PlanningProblem profile_two_tiers(const Model& model, Connection& connection, const TwoTierOptions& options) {
  Tier device{.name = "device", .profile = device_profile_of(model, options)};
  Tier worker{.name = "worker", .profile = worker_profile_of(connection, model, options)};
  const auto link = options.link_profile ? *options.link_profile : probe_link(connection, options.link);
  auto problem = PlanningProblem::two_tier(model.layers(), std::move(device), std::move(worker), link);
  problem.codecs = options.codecs;
  problem.validate();
  return problem;
}

}  // namespace splitnet
