// SPDX-License-Identifier: Apache-2.0
// "shaped://OPTIONS@INNER". Private to the shaped transport.
#pragma once

#include <string>

#include "splitnet/transport/shaped.hpp"

namespace splitnet::detail {

struct ShapedEndpoint {
  std::string prefix;  ///< Up to INNER, as the user wrote it.
  ShapedOptions options;
  std::string inner;
};

/// Throws invalid_argument.
ShapedEndpoint parse_shaped_endpoint(const std::string& text);

}  // namespace splitnet::detail
