// SPDX-License-Identifier: Apache-2.0
// The models that the tests of session and worker use, their inputs and what they should give.
#pragma once

#include <memory>
#include <vector>

#include "arithmetic_model.hpp"

namespace splitnet::testing {

/// Writes into a boundary value and has an order edge.
inline std::shared_ptr<const Model> chain_model() {
  ArithmeticOptions options;
  options.in_place = true;
  return ArithmeticModel::make(options);
}

/// Pure; can be cut beside its branch.
inline std::shared_ptr<const Model> branch_model() {
  ArithmeticOptions options;
  options.seed = 2;
  return ArithmeticModel::make(options);
}

inline std::vector<std::shared_ptr<const Model>> all_models() {
  return {chain_model(), branch_model()};
}

/// A closed head that is not sequential: without the branch, but with what comes after it.
inline LayerSet one_branch() {
  return {0, 1, 3, 4};
}

inline std::vector<Value> inputs_of(int seed) {
  return {arithmetic_input({2, 8}, static_cast<std::uint64_t>(seed))};
}

inline Value uncut(const Model& model, int seed) {
  return run_stages(model, model.split({}), inputs_of(seed));
}

}  // namespace splitnet::testing
