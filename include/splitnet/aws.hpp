// SPDX-License-Identifier: Apache-2.0
/// \file
/// Everything of splitnet::aws.
#pragma once

#include "splitnet/aws/credentials.hpp"
#include "splitnet/aws/options.hpp"
#include "splitnet/aws/transports.hpp"
#include "splitnet/object_store.hpp"
#include "splitnet/transport/lambda.hpp"
#include "splitnet/transport/lambda_runtime.hpp"
#include "splitnet/transport/sqs.hpp"
