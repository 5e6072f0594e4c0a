// SPDX-License-Identifier: Apache-2.0
#include "aws/environment.hpp"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "aws/profile_file.hpp"

namespace splitnet::detail {

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string environment(std::initializer_list<const char*> names) {
  for (const char* const name : names) {
    if (std::string value = environment(name); !value.empty()) return value;
  }
  return {};
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string path_of_settings(const char* variable, const char* name) {
  const std::string path = environment(variable);
  return path.empty() ? environment("HOME") + "/.aws/" + name : path;
}

std::string profile_name() {
  const std::string wanted = environment("AWS_PROFILE");
  return wanted.empty() ? "default" : wanted;
}

std::map<std::string, std::string> settings_in(const std::string& path) {
  return settings_of_profile(content_of(path), profile_name());
}

}  // namespace splitnet::detail
