// SPDX-License-Identifier: Apache-2.0
/// \file
/// `lambda://FUNCTION`: a worker that is a function of AWS Lambda (transport/lambda_runtime.hpp is its side).
#pragma once

#include <memory>
#include <string>

#include "splitnet/aws/options.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

struct LambdaOptions {
  AwsOptions aws = {};
  /// "s3://bucket/prefix": where bodies lie while they are under way that are too large for an invocation, which takes
  /// 6 MB of JSON, about 4.7 MB of tensors. The function has to have the same. Empty: SPLITNET_STORE of the
  /// environment; without either such bodies are `too_large`.
  std::string store = {};
};

/// Endpoints: `lambda://NAME`, with a version or an alias behind a colon, or `lambda://arn:aws:lambda:…`. Only
/// connects.
///
/// One call is one synchronous invocation, signed with the credentials; as many as Lambda has places for run at once.
/// The token of ConnectOptions is not sent: who may invoke a function is a matter of its policy. Connecting asks Lambda
/// whether the invocation would be allowed, which starts nothing and costs nothing.
///
/// Errors: overloaded (no place free, with what Lambda says of when to come back), too_large, unauthenticated (no
/// credentials, expired ones, no right to invoke, a clock that is wrong beyond what Lambda's own corrects),
/// invalid_argument (no such function in this region), unavailable (Lambda not reached, or at fault; the function
/// crashed, ran out of memory, or took longer than it may), internal (the function is another program).
///
/// A body that is too large lies in the store as long as its call takes. The end of the call removes it; what a process
/// that was killed has left there is a matter of the bucket's lifecycle rules.
///
/// A cancelled call ends here; the function goes on to its own end, and costs what it costs.
std::shared_ptr<Transport> make_lambda_transport(const LambdaOptions& options = {});

}  // namespace splitnet
