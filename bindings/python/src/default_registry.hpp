// SPDX-License-Identifier: Apache-2.0
/// \file
/// The transports that are used where none are given.
#pragma once

#include "splitnet/transport_registry.hpp"

namespace splitnet::python {

/// One for the process, so that an `inproc:` worker is found by the sessions beside it.
const TransportRegistry& default_registry();

}  // namespace splitnet::python
