// SPDX-License-Identifier: Apache-2.0
/// \file
/// Which cuts are legal, as Python says it: None means all.
#pragma once

#include <optional>
#include <utility>

#include "splitnet/planner.hpp"

namespace splitnet::python {

using OptionalIsLegal = std::optional<IsLegal>;

inline IsLegal or_all(OptionalIsLegal is_legal) {
  return is_legal ? *std::move(is_legal) : IsLegal{};
}

}  // namespace splitnet::python
