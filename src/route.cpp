// SPDX-License-Identifier: Apache-2.0
#include "route.hpp"

#include "refinement_name.hpp"
#include "splitnet/error.hpp"

namespace splitnet::detail {
namespace {

void require(bool holds, const std::string& message) {
  if (!holds) throw Error(ErrorCode::invalid_argument, message);
}

void check_numbers(const SessionOptions& options) {
  require(options.max_in_flight > 0, "SessionOptions::max_in_flight is 0, at least 1 is needed");
  require(options.threads >= 0,
          "SessionOptions::threads is " + std::to_string(options.threads) + ", expected 0 or more");
  require(options.spare_workers.empty() || !options.worker.empty(),
          "SessionOptions: spare_workers stand in for a worker; give worker");
}

/// What costs nothing can be neither made small nor bounded.
void check_objective(const SessionOptions& options) {
  const bool energy = options.objective == Objective::energy || options.constraints.max_energy_joule;
  require(!energy || options.planning.power != DevicePower{},
          "SessionOptions: energy matters, and planning.power is all 0; say how much the device takes");
  const bool dollars = options.objective == Objective::dollars || options.constraints.max_dollars;
  require(!dollars || options.planning.worker.price != Price{},
          "SessionOptions: dollars matter, and planning.worker.price is all 0; say what the worker charges");
}

}  // namespace

Route route_of(const SessionOptions& options) {
  check_numbers(options);
  const bool two_way_cut = options.cut != Cut::at_input();
  if (options.objective) {
    require(!options.worker.empty() && options.workers.empty(),
            "SessionOptions: an objective is for one device and one worker; give worker");
    require(!two_way_cut && options.cuts.empty() && options.codec == "raw" && !options.refinement,
            "SessionOptions: give either an objective, or cut and codec");
    require(!options.forward, "SessionOptions: an objective is for one worker, which has none to forward to");
    check_objective(options);
    return {{options.worker}, {}};
  }
  require(!options.policy, "SessionOptions: a policy chooses among plans; give an objective");
  require(!options.forward || options.workers.size() > 1,
          "SessionOptions::forward is for two workers or more; give workers and cuts");
  if (options.refinement) {
    require(!options.worker.empty(), "SessionOptions: a refinement is for one device and one worker; give worker");
    require(options.codec == "raw", "SessionOptions: give either a codec or a refinement");
    options.refinement->validate();
  }
  require(options.constraints == Constraints{}, "SessionOptions: constraints without an objective bind nothing");
  require(!is_refinement_name(options.codec),
          "SessionOptions: codec '" + options.codec + "' is the name of a refinement; give it as refinement");
  if (options.workers.empty() && options.cuts.empty()) {
    require(!options.worker.empty() || !two_way_cut,
            "SessionOptions: a cut (" + to_string(options.cut) + ") without a worker");
    if (options.worker.empty()) return {};
    return {{options.worker}, {options.cut}};
  }
  require(options.worker.empty() && !two_way_cut, "SessionOptions: give either worker and cut, or workers and cuts");
  require(options.workers.size() == options.cuts.size(), "SessionOptions: " + std::to_string(options.workers.size()) +
                                                             " workers for " + std::to_string(options.cuts.size()) +
                                                             " cuts, expected as many");
  return {options.workers, options.cuts};
}

}  // namespace splitnet::detail
