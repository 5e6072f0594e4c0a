// SPDX-License-Identifier: Apache-2.0
// AWS's own form of a trace context: "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
// (X-Ray developer guide, "Tracing header"). Its root has the 32 digits of a W3C trace id.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "splitnet/trace.hpp"

namespace splitnet::detail {

std::string to_xray(const TraceParent& parent);
/// Nothing: it has no root and parent of that form.
std::optional<TraceParent> parse_xray(std::string_view text);

}  // namespace splitnet::detail
