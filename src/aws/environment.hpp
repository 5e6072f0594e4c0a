// SPDX-License-Identifier: Apache-2.0
// What AWS's programs are told: environment variables and the files beside them.
#pragma once

#include <initializer_list>
#include <map>
#include <string>

namespace splitnet::detail {

/// Empty: it is not set.
std::string environment(const char* name);
/// The first that is not empty.
std::string environment(std::initializer_list<const char*> names);
/// Empty: it can't be read.
std::string content_of(const std::string& path);
/// The file that the variable names; else `name` in ~/.aws.
std::string path_of_settings(const char* variable, const char* name);
/// AWS_PROFILE, or "default".
std::string profile_name();
/// Of the file, those of profile_name().
std::map<std::string, std::string> settings_in(const std::string& path);

}  // namespace splitnet::detail
