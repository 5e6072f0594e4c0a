// SPDX-License-Identifier: Apache-2.0
/// \file
/// `lambda-runtime://`: being a function of AWS Lambda. Whoever listens on it is its custom runtime.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "splitnet/aws/options.hpp"
#include "splitnet/error.hpp"
#include "splitnet/transport.hpp"

namespace splitnet {

struct LambdaRuntimeOptions {
  AwsOptions aws = {};
  /// As LambdaOptions::store.
  std::string store = {};
  /// Called when Lambda says that there will be no more invocations for this process (status 500 of its runtime API),
  /// on a thread of the listener, so not the place to close it: have the process end.
  std::function<void()> on_end = {};
};

/// Endpoints: `lambda-runtime://`, which takes the address from AWS_LAMBDA_RUNTIME_API, as Lambda and its emulators set
/// it, or `lambda-runtime://host:port`. Only listens.
///
/// Takes one invocation after the other, as the "Runtime API" of the Lambda developer guide has it: those of
/// `lambda:` connections, and those of function URLs and API Gateway (proxy events of either version), which answer
/// `http:` and `https:` connections; a body is base64 there, so a REST API has to be told that
/// application/octet-stream is binary. Requests of `sqs:` connections too, where the function is the target of an event
/// source mapping with ReportBatchItemFailures: one after the other, each answered to its queue, as sqs.hpp has it with
/// the defaults of SqsOptions. Anything else is answered with an error of the function.
///
/// The deadline is the earlier of the request's and the invocation's; a handler that is not done shortly before the
/// invocation ends is asked to stop, and the call ends with deadline_exceeded, which leaves the function as it is:
/// Lambda would end it. The trace header of AWS becomes the request's trace context when that has none of its own.
/// ListenOptions::token is looked for in the Authorization field of proxy events, unless IAM has let the caller in, as
/// their request context shows; without a token (and without ListenOptions::allow_remote) all others are refused with
/// `unauthenticated`. Who may invoke the function itself is a matter of its policy. The limits of connections do not
/// apply: Lambda sets its own.
///
/// A request that lies in the store is looked for under the names that `lambda:` gives, and nowhere else. A reply that
/// does not get into the store before the invocation ends is the store's error.
///
/// The first reply has `times_s["init"]`: from the start of this process to its first look for an invocation.
std::shared_ptr<Transport> make_lambda_runtime_transport(const LambdaRuntimeOptions& options = {});

/// Tells Lambda why this process can't begin to listen on `endpoint`, a model that can't be loaded say; the process
/// should end then, and not with 0. Throws invalid_argument (the endpoint), unavailable (nobody there,
/// or it refuses), deadline_exceeded (no answer for 30 s), internal (no thread).
void report_lambda_init_error(const std::string& endpoint, const Error& error);

}  // namespace splitnet
