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
  std::string codec = "raw";    ///< Whose speed, with the boundary before the stage.
  CodecTables codec_tables = {};
  /// The worker may have to measure first.
  std::chrono::nanoseconds timeout = std::chrono::minutes(5);
};

/// Asks the worker behind the connection (Operation::profile). Throws incompatible (a worker with another version of
/// the model, or one that does not know the question), invalid_argument (a name, cut or codec that it does not have; a
/// worker whose model was made without example inputs), corrupt (an answer that is none), and as Connection::call.
WorkerProfile request_worker_profile(Connection& connection, const Model& model,
                                     const WorkerProfileRequest& request = {});

/// What is known of device, worker and link, and how the rest is measured.
struct TwoTierOptions {
  /// All but the profiles, which are measured when they have no layers: memory, prices, cold starts.
  Tier device = {.name = "device"};
  Tier worker = {.name = "worker"};
  std::optional<LinkProfile> link = {};  ///< Measured when absent.
  /// To choose from, with their effect on the model's answers. By default answers stay as they are.
  std::vector<CodecProfile> codecs = {CodecProfile{}};
  DevicePower power = {};
  std::vector<LeakageProfile> leakages = {};  ///< For Constraints::max_leakage_psnr_db; see measure_leakage.

  ProfileOptions device_options = {};
  LinkProbeOptions link_options = {};
  std::chrono::nanoseconds worker_timeout = std::chrono::minutes(5);
  std::string model_name = {};  ///< What the worker calls the model; empty: the one with this fingerprint.
  CodecRegistry codec_registry = CodecRegistry::with_defaults();
};

/// Checks what is given, asks the worker, probes the link and measures the device (here, with the model's example
/// inputs), one after the other, so that none disturbs another. Codec speeds that a given profile lacks are measured
/// too. Throws invalid_argument (what is given is out of range; an unknown codec; one for inputs that does not say so),
/// incompatible (a profile of another model, of inputs of other sizes or, on the device, of another number of threads),
/// and as request_worker_profile, probe_link and profile_device; what the worker or the link is to blame for names
/// `worker.name`.
PlanningProblem profile_two_tiers(const Model& model, Connection& connection, const TwoTierOptions& options = {});

}  // namespace splitnet
