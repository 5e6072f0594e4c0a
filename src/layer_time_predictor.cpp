// SPDX-License-Identifier: Apache-2.0
#include "splitnet/layer_time_predictor.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "splitnet/error.hpp"
#include "statistics.hpp"

namespace splitnet {
namespace {

using Coefficients = LayerTimePredictor::Coefficients;

constexpr std::size_t kFewestSamples = 6;  // Twice as many as there are coefficients.
constexpr double kShortest_s = 1e-7;       // What clocks resolve; shorter layers would outweigh all others.

struct Sample {
  Eigen::Vector3d features;  // 1, flops, bytes
  double time_s = 0;
};
using Samples = std::map<std::string, std::vector<Sample>>;

std::vector<double> touched_bytes(const LayerGraph& graph) {
  std::vector<double> bytes;
  for (const Layer& layer : graph.layers) bytes.push_back(static_cast<double>(layer.parameter_bytes));
  for (const GraphValue& value : graph.values) {
    if (value.producer != GraphValue::from_input) {
      bytes[static_cast<std::size_t>(value.producer)] += static_cast<double>(value.bytes);
    }
    for (const std::size_t consumer : value.consumers) bytes[consumer] += static_cast<double>(value.bytes);
  }
  return bytes;
}

std::vector<Eigen::Vector3d> features_of(const LayerGraph& graph) {
  const auto bytes = touched_bytes(graph);
  std::vector<Eigen::Vector3d> features;
  for (std::size_t i = 0; i < graph.layers.size(); ++i) {
    features.emplace_back(1, static_cast<double>(graph.layers[i].flops.value_or(0)), bytes[i]);
  }
  return features;
}

Samples samples_of(const std::vector<const ProfiledModel*>& models) {
  Samples samples;
  for (const ProfiledModel* model : models) {
    const auto features = features_of(model->graph);
    for (std::size_t i = 0; i < features.size(); ++i) {
      samples[model->graph.layers[i].operator_name].push_back({features[i], model->profile.layers[i].time_s});
    }
  }
  return samples;
}

/// Least squares of the relative errors with coefficients that are not negative: of three, each subset is solved
/// without that bound, and the best one that keeps to it is the optimum.
Coefficients fit_one(const std::vector<Sample>& samples) {
  const auto rows = static_cast<Eigen::Index>(samples.size());
  Eigen::MatrixX3d scaled(rows, 3);
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(rows);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const Sample& sample = samples[static_cast<std::size_t>(i)];
    scaled.row(i) = sample.features.transpose() / std::max(sample.time_s, kShortest_s);
  }
  // Columns of like size, or the pivoting would take the small ones for zero.
  const Eigen::Vector3d sizes = scaled.colwise().norm().transpose().cwiseMax(1e-300);
  Eigen::Vector3d best = Eigen::Vector3d::Zero();
  double least = ones.squaredNorm();
  for (unsigned subset = 1; subset < 8; ++subset) {
    std::vector<Eigen::Index> chosen;
    for (Eigen::Index column = 0; column < 3; ++column) {
      if (((subset >> column) & 1U) != 0) chosen.push_back(column);
    }
    Eigen::MatrixXd part(rows, static_cast<Eigen::Index>(chosen.size()));
    for (std::size_t c = 0; c < chosen.size(); ++c) {
      part.col(static_cast<Eigen::Index>(c)) = scaled.col(chosen[c]) / sizes[chosen[c]];
    }
    const Eigen::VectorXd solved = part.colPivHouseholderQr().solve(ones);
    if (!solved.allFinite() || solved.minCoeff() < 0) continue;
    const double error = (part * solved - ones).squaredNorm();
    if (error >= least) continue;
    least = error;
    best.setZero();
    for (std::size_t c = 0; c < chosen.size(); ++c) {
      best[chosen[c]] = solved[static_cast<Eigen::Index>(c)] / sizes[chosen[c]];
    }
  }
  return {best[0], best[1], best[2]};
}

LayerTimePredictor fit_all(const std::vector<const ProfiledModel*>& models) {
  LayerTimePredictor predictor;
  std::vector<Sample> everything;
  for (const auto& [name, samples] : samples_of(models)) {
    everything.insert(everything.end(), samples.begin(), samples.end());
    if (samples.size() >= kFewestSamples) predictor.operators[name] = fit_one(samples);
  }
  predictor.any = fit_one(everything);
  std::vector<double> overheads_s;
  for (const ProfiledModel* model : models) overheads_s.push_back(model->profile.stage_overhead_s);
  predictor.stage_overhead_s = detail::median(std::move(overheads_s));
  return predictor;
}

}  // namespace

LayerTimePredictor LayerTimePredictor::fit(const std::vector<ProfiledModel>& samples) {
  if (samples.size() < 2) {
    throw Error(ErrorCode::invalid_argument, "LayerTimePredictor::fit: " + std::to_string(samples.size()) +
                                                 " profiled models, expected at least two, so that the error on a "
                                                 "model that was left out can be stated");
  }
  for (const ProfiledModel& sample : samples) {
    sample.profile.validate();
    sample.profile.check_fits(sample.graph);
  }
  std::vector<const ProfiledModel*> models;
  for (const ProfiledModel& sample : samples) models.push_back(&sample);
  std::vector<double> errors;
  for (const ProfiledModel* left_out : models) {
    auto others = models;
    std::erase(others, left_out);
    const double predicted_s = fit_all(others).predict(left_out->graph).pass_s;
    errors.push_back(std::abs(predicted_s - left_out->profile.pass_s) / left_out->profile.pass_s);
  }
  LayerTimePredictor predictor = fit_all(models);
  predictor.relative_error = detail::median(std::move(errors));
  return predictor;
}

DeviceProfile LayerTimePredictor::predict(const LayerGraph& graph) const {
  if (graph.layers.empty()) throw Error(ErrorCode::invalid_argument, "LayerTimePredictor::predict: no layers");
  DeviceProfile profile;
  profile.fingerprint = graph.fingerprint;
  profile.machine = "predicted";
  profile.framework = "none";
  profile.inputs = inputs_of(graph);
  profile.stage_overhead_s = stage_overhead_s;
  profile.pass_s = stage_overhead_s;
  profile.relative_error = relative_error;
  const auto features = features_of(graph);
  for (std::size_t i = 0; i < features.size(); ++i) {
    const auto found = operators.find(graph.layers[i].operator_name);
    const Coefficients& known = found == operators.end() ? any : found->second;
    const double time_s = known.s_per_layer + known.s_per_flop * features[i][1] + known.s_per_byte * features[i][2];
    profile.layers.push_back({graph.layers[i].name, time_s, relative_error * time_s, 0});
    profile.pass_s += time_s;
  }
  return profile;
}

double lambda_time_factor(double memory_megabyte) {
  constexpr double one_core_megabyte = 1769;
  if (!(memory_megabyte >= 128 && memory_megabyte <= 10'240)) {
    throw Error(ErrorCode::invalid_argument,
                "lambda_time_factor: " + std::to_string(memory_megabyte) + " MB, expected 128 … 10240");
  }
  return std::max(1.0, one_core_megabyte / memory_megabyte);
}

}  // namespace splitnet
