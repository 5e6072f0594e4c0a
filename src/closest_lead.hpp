// SPDX-License-Identifier: Apache-2.0
// Whether an output has classes, and how far the best one leads. Private.
#pragma once

#include <cstddef>

#include "splitnet/refinement.hpp"

namespace splitnet::detail {

inline bool has_classes(OutputKind kind) {
  return kind == OutputKind::logits || kind == OutputKind::probabilities;
}

struct Lead {
  std::size_t row = 0;
  std::size_t best = 0;  ///< The class.
  double margin_nat = 0;
};

/// Of the row whose best class leads by least; see margin_nat.
Lead closest_lead(const Tensor& output, OutputKind kind);

/// By how much the class leads all others in the row of another output, in nat; negative when it does not.
double lead_nat(const Tensor& output, OutputKind kind, const Lead& of);

}  // namespace splitnet::detail
