// SPDX-License-Identifier: Apache-2.0
#include "splitnet/aws/transports.hpp"

#include <utility>

#include "splitnet/transport/lambda.hpp"
#include "splitnet/transport/lambda_runtime.hpp"
#include "splitnet/transport/shaped.hpp"
#include "splitnet/transport/sqs.hpp"

namespace splitnet {

void add_aws_transports(TransportRegistry& registry, const AwsOptions& options) {
  registry.add("lambda", make_lambda_transport({.aws = options}));
  registry.add("lambda-runtime", make_lambda_runtime_transport({.aws = options}));
  registry.add("sqs", make_sqs_transport({.aws = options}));
  auto behind_links = registry.transports();
  if (behind_links.erase("shaped") > 0) registry.add("shaped", make_shaped_transport(std::move(behind_links)));
}

}  // namespace splitnet
