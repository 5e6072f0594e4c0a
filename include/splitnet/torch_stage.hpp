// SPDX-License-Identifier: Apache-2.0
/// \file
/// Stages that were saved by a TorchScript model, loaded on a machine that never saw it.
#pragma once

#include <memory>
#include <string>

#include "splitnet/model.hpp"
#include "splitnet/stage.hpp"

namespace splitnet {

/// A stage that `Stage::save` wrote. A stage file is code: load only files that you trust.
/// Throws invalid_argument (no such file), corrupt (not a stage file, truncated, damaged: what was found),
/// incompatible (written by another version of the format).
std::unique_ptr<Stage> load_stage(const std::string& path, const StageOptions& options = {});

}  // namespace splitnet
