// SPDX-License-Identifier: Apache-2.0
/// \file
/// Profiles for machines that can't be measured: a Lambda size, a phone, one that is not there yet.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "splitnet/device_profile.hpp"
#include "splitnet/layer_graph.hpp"

namespace splitnet {

/// A model and what was measured of it.
struct ProfiledModel {
  LayerGraph graph;
  DeviceProfile profile;
};

/// Predicts the time of a layer from its operator, its FLOPs and the bytes that it touches (values read and written,
/// parameters):
///   time_s = s_per_layer + s_per_flop · flops + s_per_byte · bytes
/// with coefficients ≥ 0 for every operator, by least squares on relative errors, so that short layers count as
/// much as long ones. Operators that were not measured often enough use what was fitted over all of them.
/// After the regression models of Kang et al., "Neurosurgeon" (ASPLOS 2017), §4.1. A plain value.
struct LayerTimePredictor {
  struct Coefficients {
    double s_per_layer = 0;
    double s_per_flop = 0;
    double s_per_byte = 0;
    friend bool operator==(const Coefficients&, const Coefficients&) = default;
  };
  std::map<std::string, Coefficients> operators;  ///< By Layer::operator_name.
  Coefficients any;                               ///< For all others.
  double stage_overhead_s = 0;                    ///< Median of the profiles.
  /// The median error of a whole pass, |predicted − measured| / measured, when the model that is predicted was left
  /// out of the fit.
  double relative_error = 0;

  /// Of at least two models, all measured on the machine (or machines alike) that predictions shall be for. Throws
  /// invalid_argument (fewer than two, a profile out of range), incompatible (a profile of another model).
  static LayerTimePredictor fit(const std::vector<ProfiledModel>& samples);

  /// Carries relative_error, and is said to be predicted in `machine`. Throws invalid_argument (no layers).
  [[nodiscard]] DeviceProfile predict(const LayerGraph& graph) const;
  friend bool operator==(const LayerTimePredictor&, const LayerTimePredictor&) = default;
};

/// How much longer one thread takes on AWS Lambda with so much memory than on a core of its own: below 1,769 MB a
/// function gets memory_megabyte / 1769 of one (AWS Lambda developer guide, "Configure Lambda function memory").
/// Multiply by what a Lambda core is slower than the machine that was measured, and give it to
/// DeviceProfile::scaled. Throws invalid_argument outside of 128 … 10,240 MB.
double lambda_time_factor(double memory_megabyte);

}  // namespace splitnet
