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
};

}  // namespace splitnet
