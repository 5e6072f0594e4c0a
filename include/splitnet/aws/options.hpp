// SPDX-License-Identifier: Apache-2.0
/// \file
/// Which AWS is asked, and by whom.
#pragma once

#include <chrono>
#include <string>

#include "splitnet/aws/credentials.hpp"

namespace splitnet {

/// What is left empty is taken from the standard places when a connection or a store is opened.
struct AwsOptions {
  /// "eu-central-1". Empty: AWS_REGION, AWS_DEFAULT_REGION, or `region` of the profile AWS_PROFILE ("default") in the
  /// file AWS_CONFIG_FILE (~/.aws/config).
  std::string region = {};
  /// "http://127.0.0.1:4566": where all services are to be found. Empty: of each service AWS_ENDPOINT_URL_LAMBDA,
  /// AWS_ENDPOINT_URL_S3 and so on, AWS_ENDPOINT_URL, or AWS's own for the region.
  std::string endpoint = {};
  AwsCredentialsProvider credentials = default_aws_credentials();
  /// Certificates of authorities, as PEM; empty: those of the system.
  std::string ca_file = {};
  /// Of an ObjectStore: one that neither takes nor sends a byte for so long counts as gone (`unavailable`), with or
  /// without a deadline. Zero: it may stand still as long as it likes.
  std::chrono::seconds stall_timeout = std::chrono::seconds(20);
};

}  // namespace splitnet
