// SPDX-License-Identifier: Apache-2.0
#include "codec_cache.hpp"

#include <utility>

#include "splitnet/error.hpp"

namespace splitnet::detail {

std::shared_ptr<const Codec> CodecCache::find(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->codec;
}

std::shared_ptr<const Codec> CodecCache::get(const std::string& name, const CodecTables& tables) {
  if (auto known = find(name)) return known;
  if (!tables) return registry_.make(name);
  if (tables->size() > max_bytes_) {
    throw Error(ErrorCode::too_large,
                "codec tables of " + std::to_string(tables->size()) + " bytes, at most " + std::to_string(max_bytes_));
  }
  auto codec = registry_.make(name, tables);
  if (!codec) return codec;  // raw
  const std::lock_guard lock(mutex_);
  if (by_name_.contains(name)) return codec;  // Another thread was faster.
  entries_.push_front({name, codec, tables->size()});
  by_name_[name] = entries_.begin();
  bytes_ += tables->size();
  while (bytes_ > max_bytes_) {
    bytes_ -= entries_.back().bytes;
    by_name_.erase(entries_.back().name);
    entries_.pop_back();
  }
  return codec;
}

}  // namespace splitnet::detail
