// SPDX-License-Identifier: Apache-2.0
// Text to and from files, with errors that name the file. Private.
#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include "splitnet/error.hpp"

namespace splitnet::detail {

/// `what` is "device profile" or the like. Throws unavailable.
inline void save_text(const std::string& text, const std::string& what, const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) throw Error(ErrorCode::unavailable, what + " '" + path + "' can't be written");
}

/// What `parse` makes of the file's text. Throws unavailable, and as `parse`.
template <class Parse>
auto load_json(const std::string& what, const std::string& path, Parse&& parse) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream json;
  if (file) json << file.rdbuf();
  if (!file) throw Error(ErrorCode::unavailable, what + " '" + path + "' can't be read");
  try {
    return parse(json.str());
  } catch (const Error& error) {
    throw Error(error.code(), "'" + path + "': " + error.what());
  }
}

}  // namespace splitnet::detail
