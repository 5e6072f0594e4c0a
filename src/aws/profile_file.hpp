// SPDX-License-Identifier: Apache-2.0
// The credentials file that AWS's programs share.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace splitnet::detail {

/// The settings of one profile, names in lower case: `[name]` (or `[profile name]`) and lines `key = value` below it.
/// Comments begin with # or ;. Empty: there is no such profile.
std::map<std::string, std::string> settings_of_profile(std::string_view file, std::string_view profile);

}  // namespace splitnet::detail
