// SPDX-License-Identifier: Apache-2.0
#include "splitnet/refinement.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>

#include "check_number.hpp"
#include "closest_lead.hpp"
#include "elements.hpp"
#include "refinement_name.hpp"
#include "splitnet/error.hpp"
#include "splitnet/value.hpp"
#include "text.hpp"

namespace splitnet {
namespace {

/// log p(best) − the largest other log p.
double margin_of(std::span<const float> scores, std::size_t best, OutputKind kind) {
  float other = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (i != best && !(scores[i] <= other)) other = scores[i];
  }
  if (kind == OutputKind::logits) return static_cast<double>(scores[best]) - static_cast<double>(other);
  constexpr double least = 1e-30;
  return std::log(std::max<double>(scores[best], least)) - std::log(std::max<double>(other, least));
}

}  // namespace

double margin_nat(const Tensor& output, OutputKind kind) {
  return detail::closest_lead(output, kind).margin_nat;
}

namespace detail {

Lead closest_lead(const Tensor& output, OutputKind kind) {
  const std::size_t classes = output.sizes.empty() ? 1 : static_cast<std::size_t>(output.sizes.back());
  if (!has_classes(kind) || output.dtype != DType::f32 || output.element_count() == 0 || classes < 2) {
    throw Error(ErrorCode::invalid_argument, "a margin needs two classes or more: found an output of " +
                                                 describe(Value(output)) +
                                                 ", expected f32 with logits or probabilities");
  }
  const auto elements = row_major(output);
  Lead closest;
  for (std::size_t row = 0; row * classes < elements.size(); ++row) {
    const auto scores = elements.subspan(row * classes, classes);
    const auto best = static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) - scores.begin());
    const double margin = margin_of(scores, best, kind);
    const Lead lead{row, best, margin >= 0 ? margin : 0};  // Not a number: nothing leads.
    if (row == 0 || lead.margin_nat < closest.margin_nat) closest = lead;
  }
  return closest;
}

double lead_nat(const Tensor& output, OutputKind kind, const Lead& of) {
  const auto classes = static_cast<std::size_t>(output.sizes.back());
  return margin_of(row_major(output).subspan(of.row * classes, classes), of.best, kind);
}

}  // namespace detail

std::string Refinement::name() const {
  return first_codec + std::string(detail::refinement_mark) + detail::short_number(min_margin_nat) + " nat " +
         second_codec;
}

void Refinement::validate() const {
  if (first_codec.empty() || second_codec.empty() || first_codec == second_codec) {
    throw Error(ErrorCode::invalid_argument, "Refinement: found the codecs '" + first_codec + "' and '" + second_codec +
                                                 "', expected a coarse one and a finer one");
  }
  detail::check_not_negative("Refinement::min_margin_nat", min_margin_nat);
  if (!detail::has_classes(output)) {
    throw Error(ErrorCode::invalid_argument, "Refinement::output has no classes, expected logits or probabilities");
  }
}

}  // namespace splitnet
