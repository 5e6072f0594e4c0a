// SPDX-License-Identifier: Apache-2.0
// Learns the tables of the codec transform from examples. Private.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "splitnet/tensor.hpp"
#include "transform_tables.hpp"

namespace splitnet::detail {

/// One tensor as it crosses the cut, and gradients of the model's output by it (none: all errors count alike). The
/// gradients are such that the mean of ½ (gradient · error)² is the loss that the error makes.
struct TransformExample {
  Tensor value;
  std::vector<Tensor> gradients;
};

struct TrainingOptions {
  double reference_loss = 0.003;  ///< Expected at coarseness 0.
  double ridge = 0.02;            ///< Of the mean sensitivity, added to every direction.
  double rate_weight = 0.12;      ///< λ of the encoder: steps² per bit.
  std::size_t rounds = 3;         ///< Of counting symbols with the encoder that the counts of the round before give.
  std::vector<int> coarsenesses = {-8, 0, 8, 16};  ///< At which symbols are counted.
};

/// Nothing when the tensors are none that the codec can take: not f32, of several shapes, sides without a divisor from
/// 4 to 32, fewer than two examples, elements that are not finite.
std::optional<TransformTables> train_transform(const std::vector<TransformExample>& examples,
                                               const TrainingOptions& options = {});

}  // namespace splitnet::detail
