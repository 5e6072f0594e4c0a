// SPDX-License-Identifier: Apache-2.0
/// \file
/// Measures everything that a plan for a device and a worker needs: both machines and the link between them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "splitnet/codec.hpp"
#include "splitnet/cost_model.hpp"
#include "splitnet/device_profiler.hpp"
#include "splitnet/link_probe.hpp"
#include "splitnet/model.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

/// What a worker says about itself.
struct WorkerProfile {
  DeviceProfile profile;                ///< Of the model on its machine, with the codec asked for.
  std::int64_t stage_memory_bytes = 0;  ///< Parameters and tensors of the stage asked for.
};

/// Which profile to ask for.
struct WorkerProfileRequest {
  std::string model_name = {};  ///< What the worker calls the model; empty: the one with this fingerprint.
  StageKey stage = {};          ///< Whose memory; the default is the whole model.
  std::string codec = "raw";    ///< Whose speed.
  /// The worker may have to measure first.
  std::chrono::nanoseconds timeout = std::chrono::minutes(5);
};

/// Asks the worker behind the connection (Operation::profile). Throws incompatible (a worker with another version of
/// the model, or one that does not know the question), invalid_argument (a name, cut or codec that it does not have; a
/// worker whose model was made without example inputs), corrupt (an answer that is none), and as Connection::call.
WorkerProfile request_worker_profile(Connection& connection, const Model& model,
                                     const WorkerProfileRequest& request = {});

struct TwoTierOptions {
  std::string model_name = {};
  std::vector<CodecProfile> codecs = {CodecProfile{}};
  CodecRegistry codec_registry = CodecRegistry::with_defaults();
  ProfileOptions device = {};
  LinkProbeOptions link = {};
  std::chrono::nanoseconds worker_timeout = std::chrono::minutes(5);
  /// What is given is not measured.
  std::optional<DeviceProfile> device_profile = {};
  std::optional<DeviceProfile> worker_profile = {};
  std::optional<LinkProfile> link_profile = {};
};

/// Device (here), worker and link, measured one after the other, so that none disturbs another; the device with the
/// model's example inputs. Codec speeds that a given profile lacks are measured (device) or asked for (worker).
/// Throws as profile_device, probe_link, request_worker_profile and PlanningProblem::validate.
PlanningProblem profile_two_tiers(const Model& model, Connection& connection, const TwoTierOptions& options = {});

}  // namespace splitnet
