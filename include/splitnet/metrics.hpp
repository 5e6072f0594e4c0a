// SPDX-License-Identifier: Apache-2.0
/// \file
/// What a worker counts, for Prometheus. In builds with SPLITNET_WITH_METRICS (prometheus-cpp) only.
#pragma once

#include <string>

#include "splitnet/worker.hpp"

namespace splitnet {

/// The Content-Type of what `to_prometheus` gives.
inline constexpr const char* prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// The text exposition format, version 0.0.4. docs/observing.md lists the metrics; units stand in their names. There
/// are as many series as the worker serves models: nothing that a request says becomes a label.
std::string to_prometheus(const WorkerStats& stats);

}  // namespace splitnet
