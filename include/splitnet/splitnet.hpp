// SPDX-License-Identifier: Apache-2.0
/// \file
/// Everything. core.hpp is the part without libtorch.
#pragma once

#include "splitnet/core.hpp"
#include "splitnet/partitioner.hpp"
#include "splitnet/torch_stage.hpp"
#include "splitnet/torch_tensor.hpp"
