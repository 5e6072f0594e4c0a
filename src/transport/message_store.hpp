// SPDX-License-Identifier: Apache-2.0
// Where both sides put what is too large for an invocation of Lambda, or for a message of a queue. Private.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "aws/environment.hpp"
#include "aws/random_name.hpp"
#include "splitnet/object_store.hpp"

namespace splitnet::detail {

/// One side puts requests there, the other one replies; neither takes the other's for its own.
inline constexpr std::string_view requests_folder = "requests/";
inline constexpr std::string_view replies_folder = "replies/";

/// The one that the options name, or else SPLITNET_STORE; none: neither does. Throws as ObjectStore::open.
inline std::shared_ptr<ObjectStore> open_store(const std::string& named, const AwsOptions& options) {
  const std::string url = named.empty() ? environment("SPLITNET_STORE") : named;
  return url.empty() ? nullptr : ObjectStore::open(url, options);
}

/// FOLDER/ and 32 hexadecimal digits.
inline std::string new_key(std::string_view folder) {
  return std::string(folder) + random_name();
}

/// The key that a reference leads to. Nothing: it leads elsewhere, or to what is not a new_key of this folder; the
/// bucket may have other things, which nobody who sends a message shall have read, or removed.
inline std::optional<std::string> referred_key(const ObjectStore* store, const std::string& url,
                                               std::string_view folder) {
  auto key = store == nullptr ? std::nullopt : store->key_of(url);
  if (!key || !key->starts_with(folder) || !is_random_name(std::string_view(*key).substr(folder.size()))) {
    return std::nullopt;
  }
  return key;
}

}  // namespace splitnet::detail
