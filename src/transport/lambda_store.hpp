// SPDX-License-Identifier: Apache-2.0
// Where both sides of Lambda put what is too large for an invocation. Private.
#pragma once

#include <memory>
#include <string>

#include "aws/environment.hpp"
#include "splitnet/object_store.hpp"

namespace splitnet::detail {

/// The one that the options name, or else SPLITNET_STORE; none: neither does. Throws as ObjectStore::open.
inline std::shared_ptr<ObjectStore> open_store(const std::string& named, const AwsOptions& options) {
  const std::string url = named.empty() ? environment("SPLITNET_STORE") : named;
  return url.empty() ? nullptr : ObjectStore::open(url, options);
}

}  // namespace splitnet::detail
