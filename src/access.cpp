// SPDX-License-Identifier: Apache-2.0
#include "splitnet/access.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "splitnet/error.hpp"

namespace splitnet {
namespace {

void check_token(std::string_view token, const std::string& source) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument, source + ": " + what + "; expected " + std::to_string(min_token_chars) +
                                                 " to " + std::to_string(max_token_chars) +
                                                 " printable characters without spaces");
  };
  if (token.size() < min_token_chars || token.size() > max_token_chars) {
    refuse(std::to_string(token.size()) + " characters");
  }
  if (!std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c <= '~'; })) {
    refuse("a character that a token can't have");
  }
}

}  // namespace

void check_token(std::string_view token) {
  check_token(token, "token");
}

std::string load_token(const std::string& path) {
  const std::string source = "token file '" + path + "'";
  struct stat status {};
  std::ifstream file(path);
  if (!file || ::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    throw Error(ErrorCode::invalid_argument, source + ": can't be read");
  }
  if ((status.st_mode & S_IRWXO) != 0) {
    throw Error(ErrorCode::invalid_argument, source + ": everybody may read or write it; expected chmod 600");
  }
  std::string token;
  std::getline(file, token);
  if (token.ends_with('\r')) token.pop_back();
  check_token(token, source);
  return token;
}

std::string token_from_environment(const std::string& variable) {
  const char* const token = std::getenv(variable.c_str());  // NOLINT(concurrency-mt-unsafe)
  const std::string source = "environment variable " + variable;
  if (token == nullptr) throw Error(ErrorCode::invalid_argument, source + ": not set, expected a token");
  check_token(token, source);
  return token;
}

bool is_same_token(std::string_view expected, std::string_view given) noexcept {
  // Of another length it is wrong, and that takes as long.
  volatile unsigned char difference = expected.size() == given.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    difference = static_cast<unsigned char>(difference | (given[i] ^ other));
  }
  return difference == 0;
}

}  // namespace splitnet
