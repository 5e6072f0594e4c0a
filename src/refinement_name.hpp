// SPDX-License-Identifier: Apache-2.0
// How the name of a refinement is told from that of a codec. Private.
#pragma once

#include <string_view>

namespace splitnet::detail {

/// What stands behind the first codec's name in Refinement::name, and in no codec's.
inline constexpr std::string_view refinement_mark = ", below ";

inline bool is_refinement_name(std::string_view name) noexcept {
  return name.find(refinement_mark) != std::string_view::npos;
}

}  // namespace splitnet::detail
