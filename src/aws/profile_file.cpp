// SPDX-License-Identifier: Apache-2.0
#include "aws/profile_file.hpp"

#include <algorithm>

#include "text.hpp"

namespace splitnet::detail {
namespace {

/// "name" of "[profile name]".
std::string_view name_of_section(std::string_view line) {
  line = trimmed(line.substr(1, line.find(']') - 1));
  constexpr std::string_view prefix = "profile ";
  return line.substr(0, prefix.size()) == prefix ? trimmed(line.substr(prefix.size())) : line;
}

}  // namespace

std::map<std::string, std::string> settings_of_profile(std::string_view file, std::string_view profile) {
  std::map<std::string, std::string> settings;
  bool is_here = false;
  while (!file.empty()) {
    const auto end = std::min(file.find('\n'), file.size());
    const std::string_view line = trimmed(file.substr(0, end));
    file.remove_prefix(std::min(end + 1, file.size()));
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      is_here = name_of_section(line) == profile;
    } else if (const auto equals = line.find('='); is_here && equals != std::string_view::npos) {
      settings[in_lower_case(trimmed(line.substr(0, equals)))] = trimmed(line.substr(equals + 1));
    }
  }
  return settings;
}

}  // namespace splitnet::detail
