// SPDX-License-Identifier: Apache-2.0
// What the forms of SessionOptions have in common. Private.
#pragma once

#include <string>
#include <vector>

#include "splitnet/session.hpp"

namespace splitnet::detail {

/// Worker endpoints and cuts of all forms of options, as one list of each.
struct Route {
  std::vector<std::string> workers;
  std::vector<Cut> cuts;
};

/// Throws invalid_argument: options that contradict each other or mean nothing.
Route route_of(const SessionOptions& options);

}  // namespace splitnet::detail
