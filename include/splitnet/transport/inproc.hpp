// SPDX-License-Identifier: Apache-2.0
/// \file
/// `inproc://name`: both ends in one process, for tests and for running a pipeline in one place.
#pragma once

#include <memory>

#include "splitnet/transport.hpp"

namespace splitnet {

/// Names belong to the transport object: a listener is reached by connections made through the same
/// object (or through copies of a registry that holds it), so tests never meet by accident.
/// Messages change threads but are not copied: both sides see the same tensor bytes.
std::shared_ptr<Transport> make_inproc_transport();

}  // namespace splitnet
