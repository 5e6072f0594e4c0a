// SPDX-License-Identifier: Apache-2.0
/// \file
/// The transports of splitnet::aws, for a registry.
#pragma once

#include "splitnet/aws/options.hpp"
#include "splitnet/transport_registry.hpp"

namespace splitnet {

/// Adds `lambda`, `lambda-runtime` and `sqs`, which look for a store in SPLITNET_STORE (LambdaOptions::store); `shaped`
/// finds them too.
void add_aws_transports(TransportRegistry& registry, const AwsOptions& options = {});

}  // namespace splitnet
