// SPDX-License-Identifier: Apache-2.0
/// \file
/// Policies that Python gives to a session.
#pragma once

#include <pybind11/pybind11.h>

#include "splitnet/policy.hpp"

namespace splitnet::python {

/// From None, AdaptiveOptions, or a function that makes an object with `decide` and `learn`. Throws invalid_argument.
PolicyFactory policy_factory(const pybind11::object& policy);

}  // namespace splitnet::python
