// SPDX-License-Identifier: Apache-2.0
/// \file
/// Asking again where the first answer is close: most answers are clear and bear a coarse codec; the few whose best
/// class leads by little are asked for once more with a fine one. In bytes that is less than a codec that is fine
/// enough for all of them; in time those few take two round trips.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "splitnet/tensor.hpp"

namespace splitnet {

/// What the model's output means, and so what a change of it costs.
enum class OutputKind : unsigned char {
  logits,         ///< Scores of classes before soft-max, in the last dimension.
  probabilities,  ///< After soft-max.
  embedding,      ///< Vectors in the last dimension whose direction counts.
  numbers,        ///< Anything else: errors are relative to the output's size.
};

/// How much likelier the best class is than the second: log p₁ − log p₂ in nat, 0 or more, of a tensor of f32 with
/// classes in its last dimension; of several rows the least. Throws invalid_argument: another dtype, fewer than two
/// classes, no rows, a kind of output that has no classes.
double margin_nat(const Tensor& output, OutputKind kind);

/// A plain value.
struct Refinement {
  std::string first_codec;   ///< For all boundaries.
  std::string second_codec;  ///< For those whose answer is closer than min_margin_nat; its tables are the first one's.
  double min_margin_nat = 0;
  OutputKind output = OutputKind::logits;  ///< logits or probabilities.
  std::size_t output_slot = 0;             ///< Which of the results, in the order of ResultShape's slots.

  /// "FIRST, below 0.35 nat SECOND".
  [[nodiscard]] std::string name() const;
  /// Throws invalid_argument: a codec that is missing or the same, a margin that is negative or not finite, an output
  /// without classes.
  void validate() const;
  friend bool operator==(const Refinement&, const Refinement&) = default;
};

}  // namespace splitnet
