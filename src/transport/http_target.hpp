// SPDX-License-Identifier: Apache-2.0
// What a request line asks for. Private.
#pragma once

#include <string_view>

namespace splitnet::detail {

/// Of an absolute form ("http://host/path"), which servers have to understand, its path; without a query.
inline std::string_view path_of(std::string_view target) {
  if (!target.starts_with('/')) {
    const auto scheme = target.find("://");
    const auto slash = scheme == std::string_view::npos ? scheme : target.find('/', scheme + 3);
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  return target.substr(0, target.find('?'));
}

}  // namespace splitnet::detail
