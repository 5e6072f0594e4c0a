// SPDX-License-Identifier: Apache-2.0
#include "shm_endpoint.hpp"

#include <unistd.h>

#include <algorithm>
#include <string_view>

namespace splitnet::detail {
namespace {

constexpr std::string_view kScheme = "shm://";
constexpr std::size_t kMaxName = 64;

[[noreturn]] void refuse(const std::string& text, const std::string& what) {
  throw Error(ErrorCode::invalid_argument,
              "endpoint '" + text + "': " + what + "; expected shm://name or shm:///path/of/a/socket");
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

}  // namespace

UnixAddress parse_shm_endpoint(const std::string& text) {
  if (!text.starts_with(kScheme)) refuse(text, "not a shm endpoint");
  const std::string rest = text.substr(kScheme.size());
  if (rest.starts_with('/')) {
    const std::size_t longest = longest_unix_path();
    if (rest.size() < 2 || rest.size() > longest || rest.find('\0') != std::string::npos) {
      refuse(text, "a path of " + std::to_string(rest.size()) + " bytes, at most " + std::to_string(longest) +
                       " are possible, without zeros");
    }
    return {text, rest};
  }
  if (!is_name(rest)) refuse(text, "a name has 1 to " + std::to_string(kMaxName) + " letters, digits, '.', '_', '-'");
  // Names of different users never meet.
  return {text, std::string(1, '\0') + "splitnet/shm/" + std::to_string(::geteuid()) + "/" + rest};
}

}  // namespace splitnet::detail
