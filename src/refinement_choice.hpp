// SPDX-License-Identifier: Apache-2.0
// Which two codecs, and below which margin the second one. Private to calibration.cpp.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace splitnet::detail {

/// One codec on examples, the same ones in the same order for all codecs.
struct RefinementRung {
  double ratio = 1;                 ///< Encoded bytes over raw bytes.
  std::vector<double> margins_nat;  ///< Of each answer with the codec.
  /// By how much less the same class leads in the exact answer, in nat; may be negative. Above the margin: another
  /// class leads there.
  std::vector<double> overstated_nat;
};

struct RefinementChoice {
  std::size_t first = 0;  ///< Which of the rungs.
  std::size_t second = 0;
  double min_margin_nat = 0;
};

/// With the fewest expected bytes of those that are expected to change at most this share of answers; nothing when one
/// of the rungs alone is smaller, or none reaches it.
///
/// An answer changes when its margin is overstated by more than it is. Examples are few, so each margin is also taken
/// with every error found, mean over answers i with margin_i ≥ t of P(overstated > margin_i), and the larger share
/// counts: what was seen, or that.
std::optional<RefinementChoice> choose_refinement(const std::vector<RefinementRung>& rungs, double max_loss);

}  // namespace splitnet::detail
