// SPDX-License-Identifier: Apache-2.0
/// \file
/// Who asks AWS for something.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace splitnet {

/// Long-lived ones, or temporary ones with a session token. A plain value; nothing of it is ever logged or put into an
/// error.
struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token = {};                                        ///< Of temporary ones.
  std::optional<std::chrono::system_clock::time_point> expires_at = {};  ///< Of temporary ones.

  /// Throws unauthenticated: a part is missing, or has characters that don't belong into a header (ends of lines, say),
  /// or they have expired; `where` says where they came from.
  void validate(const std::string& where) const;
};

/// Gives the credentials of now: called before each request, from any thread, also from several at once; should be
/// quick, unless it has to fetch new ones. Throws unauthenticated (there are none, or they have expired), unavailable
/// (the endpoint that gives them does not answer).
using AwsCredentialsProvider = std::function<AwsCredentials()>;

/// Always these.
AwsCredentialsProvider fixed_aws_credentials(AwsCredentials credentials);

/// From the standard places, the first that has some, looked for anew until some were found:
/// - AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN of the environment;
/// - the profile AWS_PROFILE ("default") in the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), its
///   aws_access_key_id, aws_secret_access_key and aws_session_token;
/// - the endpoint of the container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or AWS_CONTAINER_CREDENTIALS_FULL_URI (by
///   HTTPS, on this machine, or at the link-local addresses of ECS and EKS), with
///   AWS_CONTAINER_AUTHORIZATION_TOKEN(_FILE). No proxy is asked. They are fetched again from five minutes before they
///   expire on; where that fails, those that are there are used as long as they are good.
AwsCredentialsProvider default_aws_credentials();

}  // namespace splitnet
