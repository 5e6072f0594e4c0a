// SPDX-License-Identifier: Apache-2.0
#include "splitnet/aws/transports.hpp"

#include "splitnet/transport/lambda.hpp"
#include "splitnet/transport/lambda_runtime.hpp"

namespace splitnet {

void add_aws_transports(TransportRegistry& registry, const AwsOptions& options) {
  registry.add("lambda", make_lambda_transport({.aws = options}));
  registry.add("lambda-runtime", make_lambda_runtime_transport({.aws = options}));
}

}  // namespace splitnet
