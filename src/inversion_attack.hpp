// SPDX-License-Identifier: Apache-2.0
// Looks for inputs of a head that give a boundary; the formula is in leakage.hpp. Private.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "splitnet/leakage.hpp"
#include "splitnet/stage.hpp"

namespace splitnet::detail {

/// An input of the stage that the attack looks for: a tensor of f32.
struct SoughtInput {
  std::size_t index = 0;
  float low = 0;  ///< What its elements are in the examples.
  float high = 1;
};

/// One boundary to invert.
struct Inversion {
  std::vector<Value> inputs;  ///< Where the attack starts; those not sought are known.
  std::vector<SoughtInput> sought;
  std::vector<Value> boundary;  ///< As decoded; its tensors of f32 are to be matched.
};

struct Inverted {
  std::vector<Tensor> inputs;  ///< Those sought: of all steps the ones with the smallest loss.
  std::string failure;         ///< Why there is nothing to conclude; empty: there is.
};

/// One run. Throws as Stage::differentiate and DifferentiablePass::gradients.
Inverted invert(const Stage& head, const Inversion& inversion, const AttackSettings& settings, std::size_t steps);

}  // namespace splitnet::detail
